return { title = "Long names", description = "Reports very long DNS names", author = "us" }
