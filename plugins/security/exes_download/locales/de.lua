return {
  title = "Programme aus dem Netz",
  description = "Hält Programme auf, die über unverschlüsseltes HTTP geladen werden, erkannt am Namen in der URL",
  alert_title = "Programm heruntergeladen",
  status_title = "Programm heruntergeladen",
  status_description = "Ein Programm (.%{suffix}) wurde angefordert: %{url}",
  items_title = "Dateiendungen",
  items_description = "Durch Komma getrennt, ohne Punkt. Beispiel: exe,msi,scr",
}
