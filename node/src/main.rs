//! The `synod` binary.

/// Small writes are mostly allocations; measured, this allocator is worth an eighth of the throughput.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    node::cli::run()
}
