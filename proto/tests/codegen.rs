//! The generated code is checked in, so that no build needs protoc; this test regenerates it
//! and fails when it differs. `UPDATE_GOLDEN=1 cargo test -p sextant-proto` writes it.

use std::path::Path;
use std::{env, fs};

use protox::prost::Message;

#[test]
fn generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("a temporary directory");
    let sources = ["telemetry", "ingest", "query"].map(|n| format!("sextant/v1/{n}.proto"));
    let descriptors = protox::Compiler::new([root])
        .and_then(|mut c| {
            c.include_source_info(true);
            c.open_files(&sources)?;
            Ok(c.file_descriptor_set())
        })
        .unwrap_or_else(|e| panic!("proto sources do not compile: {e:?}"));
    tonic_prost_build::configure()
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(descriptors.clone())
        .expect("code generation");
    let code = fs::read(out.path().join("sextant.v1.rs")).expect("generated file");

    let mut bare = descriptors;
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    for (name, new) in [("sextant.v1.rs", code), ("sextant.v1.bin", bare.encode_to_vec())] {
        let path = root.join("src/gen").join(name);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &new).expect("write generated file");
        }
        let same = fs::read(&path).is_ok_and(|old| old == new);
        assert!(
            same,
            "{} is not what the sources generate: run with UPDATE_GOLDEN=1",
            path.display()
        );
    }
}
