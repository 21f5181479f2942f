//! Does nothing: a build script is what lets Cargo.toml settle the features of build-time crates (see there).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
