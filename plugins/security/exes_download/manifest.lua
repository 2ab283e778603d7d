return {
  title = "Program downloads",
  description = "Stops programs that are fetched over plain HTTP",
  author = "Flowreeve",
  dependencies = {},
}
