//! The launcher as a program of its own, for this package's tests; the agent runs the same code under a verb of its binary.

fn main() -> std::process::ExitCode {
    castellan_process::launch_main()
}
