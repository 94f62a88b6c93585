//! Compiles the wire format of the client API, in pure Rust: no `protoc` is needed to build.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["proto/rpc.proto"], ["proto"])?;
    // Keys and values stay slices of the buffer the socket was read into.
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::api::Codec")
        .compile_fds(files)?;
    Ok(())
}
