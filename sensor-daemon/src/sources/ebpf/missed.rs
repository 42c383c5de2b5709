//! Runs of programs that the kernel left out.
//!
//! It does so when a program is to run while another task is in the middle of the same program on the same CPU. Up to
//! Linux 6.19 a program at a tracepoint can't be preempted, so that only an interrupt could come in between; from 7.0 on
//! (`__bpf_trace_run` without `preempt_disable`) a task that loses its CPU there hides what others do on it meanwhile.
//! No program can see that it did not run, but the kernel counts it, from 5.12 on.

use std::{
    fs::File,
    os::{
        fd::{AsRawFd as _, BorrowedFd},
        unix::fs::FileExt as _,
    },
};

/// Bytes of what the kernel shows of a program's descriptor; it has some 250.
const TEXT_MAX: usize = 1024;

/// The programs, to be asked: what the kernel shows of their descriptors. Open, since each finding asks.
#[derive(Debug, Default)]
pub struct MissedRuns(Vec<File>);

impl MissedRuns {
    /// Counts for one more program; `program` has to stay open.
    pub(super) fn watch(&mut self, program: BorrowedFd<'_>) {
        // Without /proc there is nothing to be had.
        self.0
            .extend(File::open(format!("/proc/self/fdinfo/{}", program.as_raw_fd())));
    }

    /// Runs left out since the programs were loaded, of all of them; zero where the kernel does not count.
    #[must_use]
    pub fn count(&self) -> u64 {
        let of_one = |file: &File| {
            let mut text = [0; TEXT_MAX];
            let length = file.read_at(&mut text, 0).ok()?;
            of_program(std::str::from_utf8(text.get(..length)?).ok()?)
        };
        self.0.iter().filter_map(of_one).sum()
    }
}

/// Takes the number out of what the kernel shows of a program's descriptor.
fn of_program(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::of_program;

    #[test]
    fn the_number_is_found() {
        let text = "pos:\t0\nprog_type:\t26\nrun_cnt:\t0\nrecursion_misses:\t35\nverified_insns:\t563\n";
        assert_eq!(of_program(text), Some(35));
        assert_eq!(of_program("prog_type:\t26\nrun_cnt:\t0\n"), None);
        assert_eq!(of_program("recursion_misses:\tmany\n"), None);
    }
}
