return {
  title = "Unexpected hosts",
  description = "Stops connections to hosts by name: TLS, HTTP and DNS",
  author = "Flowreeve",
  dependencies = {},
}
