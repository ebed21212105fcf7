//! Compiles the protocol, as the client ships it, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["streams.proto", "serverfeatures.proto", "gossip.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_build::configure()
        .build_client(false)
        .bytes(["."])
        .include_file("protocol.rs")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
