//! hooklog
fn main() {}
