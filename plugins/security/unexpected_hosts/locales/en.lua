return {
  title = "Unexpected hosts",
  description = "Stops connections to hosts on the list, and queries for them; does nothing while the list is empty",
  alert_title = "Unexpected host",
  status_title = "Unexpected host",
  status_description = "%{host} was asked for, and %{item} is on the list",
  items_title = "Host names",
  items_description = "Comma separated; a name stands for all names below it too. Example: example.org,ads.example.net",
}
