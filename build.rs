//! Makes a new migration file rebuild the crate: the macro that embeds them is not run again by itself.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
