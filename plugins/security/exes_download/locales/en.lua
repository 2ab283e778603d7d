return {
  title = "Program downloads",
  description = "Stops programs that are fetched over plain HTTP, by the name in the URL",
  alert_title = "Program download",
  status_title = "Program download",
  status_description = "A program (.%{suffix}) was asked for: %{url}",
  items_title = "File name endings",
  items_description = "Comma separated, without the dot. Example: exe,msi,scr",
}
