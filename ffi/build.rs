//! The shared library's soname: programs link against `libringkeep.so.0`, whatever cargo calls the file.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libringkeep.so.0");
    }
}
