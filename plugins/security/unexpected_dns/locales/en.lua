return {
  title = "Unexpected DNS",
  description = "Stops queries to DNS servers that are not on the list; does nothing while the list is empty",
  alert_title = "Unexpected DNS server",
  status_title = "Unexpected DNS server",
  status_description = "A DNS server was asked that is not on the list: %{server}",
  items_title = "Allowed DNS servers",
  items_description = "Comma separated addresses. Example: 192.0.2.53,2001:db8::53",
}
