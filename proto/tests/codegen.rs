//! The generated code is checked in, so that no build needs protoc; this test regenerates it
//! and fails when it differs. `UPDATE_GOLDEN=1 cargo test -p sextant-proto` writes it.

use std::path::Path;
use std::{env, fs};

use protox::prost::Message;

/// What a package's sources are compiled to: their descriptors without comments, and the
/// generated file.
fn compile(sources: &[&str], generated: &str) -> (Vec<u8>, Vec<u8>) {
    let root = env!("CARGO_MANIFEST_DIR");
    let out = tempfile::tempdir().expect("a temporary directory");
    let mut descriptors = protox::Compiler::new([root])
        .and_then(|mut c| {
            c.include_source_info(true);
            c.open_files(sources)?;
            Ok(c.file_descriptor_set())
        })
        .unwrap_or_else(|e| panic!("proto sources do not compile: {e:?}"));
    tonic_prost_build::configure()
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(descriptors.clone())
        .expect("code generation");
    let code = fs::read(out.path().join(generated)).expect("generated file");
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    (descriptors.encode_to_vec(), code)
}

/// Checks `src/gen/name`, or writes it.
fn check(name: &str, new: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gen").join(name);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, new).expect("write generated file");
    }
    let same = fs::read(&path).is_ok_and(|old| old == new);
    assert!(same, "{} is not what the sources generate: run with UPDATE_GOLDEN=1", path.display());
}

#[test]
fn generated_code_is_up_to_date() {
    let sources = ["telemetry", "ingest", "query", "rules", "advice"]
        .map(|n| format!("sextant/v1/{n}.proto"));
    let sources = sources.each_ref().map(String::as_str);
    let (descriptors, code) = compile(&sources, "sextant.v1.rs");
    check("sextant.v1.rs", &code);
    check("sextant.v1.bin", &descriptors);
}

#[test]
fn generated_kubelet_code_is_up_to_date() {
    let source = "k8s.io/kubelet/pkg/apis/podresources/v1/api.proto";
    check("podresources.v1.rs", &compile(&[source], "v1.rs").1);
}
