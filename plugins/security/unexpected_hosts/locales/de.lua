return {
  title = "Unerwünschte Rechner",
  description = "Hält Verbindungen zu Rechnern auf der Liste und Anfragen nach ihnen auf; ohne Einträge geschieht nichts",
  alert_title = "Unerwünschter Rechner",
  status_title = "Unerwünschter Rechner",
  status_description = "%{host} wurde angefragt, und %{item} steht auf der Liste",
  items_title = "Rechnernamen",
  items_description = "Durch Komma getrennt; ein Name gilt auch für alle Namen unter ihm. Beispiel: example.org,ads.example.net",
}
