//! The migrations are built into the library: a new file has to build it again.

fn main() {
    for folder in ["postgres", "keys", "read_models", "clickhouse"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
