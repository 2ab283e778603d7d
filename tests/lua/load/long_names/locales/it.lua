return { status_title = "Nome DNS lungo" }
