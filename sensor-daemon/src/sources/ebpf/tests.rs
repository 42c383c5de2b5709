//! What no verifier checks: that no program of the kernel side calls a function of its own, not even `memset`.
//!
//! Kernels before 6.5 (5.10 for one) look up a load through a typed pointer that faults by the whole program, whose table
//! of such loads is empty if the program has functions (`search_bpf_extables` in kernel/bpf/core.c): they crash.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use object::{Object as _, ObjectSection as _, SectionKind};

use super::load::OBJECT;

/// BPF_JMP | BPF_CALL with BPF_PSEUDO_CALL for source register (include/uapi/linux/bpf.h).
fn is_call_of_own_function(instruction: &[u8]) -> bool {
    instruction[0] == 0x85 && instruction[1] >> 4 == 1
}

#[test]
fn no_program_calls_a_function_of_its_own() {
    let file = object::File::parse(OBJECT).unwrap();
    let mut programs = 0;
    for section in file.sections() {
        let name = section.name().unwrap();
        // What the linker adds in case that somebody calls it.
        if section.kind() != SectionKind::Text || name == ".text" {
            continue;
        }
        programs += 1;
        let calls = section
            .data()
            .unwrap()
            .chunks_exact(8)
            .filter(|code| is_call_of_own_function(code));
        assert_eq!(calls.count(), 0, "{name}");
    }
    assert!(programs >= 5, "{programs} sections of programs");
}
