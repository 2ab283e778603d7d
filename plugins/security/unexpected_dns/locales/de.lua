return {
  title = "Unerwarteter DNS-Server",
  description = "Hält Anfragen an DNS-Server auf, die nicht auf der Liste stehen; ohne Einträge geschieht nichts",
  alert_title = "Unerwarteter DNS-Server",
  status_title = "Unerwarteter DNS-Server",
  status_description = "Ein DNS-Server, der nicht auf der Liste steht, wurde gefragt: %{server}",
  items_title = "Erlaubte DNS-Server",
  items_description = "Adressen, durch Komma getrennt. Beispiel: 192.0.2.53,2001:db8::53",
}
