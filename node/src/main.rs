//! The `synod` binary.

fn main() -> std::process::ExitCode {
    node::cli::run()
}
