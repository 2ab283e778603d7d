return {
  title = "Unexpected DNS",
  description = "Stops queries to DNS servers that are not on the owner's list",
  author = "Flowreeve",
  dependencies = {},
}
