//! The `synod` binary.

fn main() -> std::process::ExitCode {
    node::cli::run()
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
