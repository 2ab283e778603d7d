//! Wires the parts: arguments, configuration, threads, signals. Decides nothing.

fn main() {}
