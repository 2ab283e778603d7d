return { alert_title = "Long DNS name", status_title = "Long DNS name",
         status_description = "A very long name was asked for",
         form_title = "Suffixes to ignore", form_help = "Comma separated" }
