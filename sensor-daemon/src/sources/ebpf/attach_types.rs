//! The kernel's types as far as aya has to know them.
//!
//! A program for a tracepoint, a kernel function or an iterator is loaded with the number of a type of the kernel. aya takes
//! the number from a model of all types, which needs 19 MB. It looks for one name and one kind there, so it gets a model in
//! which only these types are what they are, each at its own number; every other one is a `void *`. That needs 7 MB for
//! a moment: one entry for each type up to the highest number.

use super::{
    btf::{Btf, KIND_FUNC, KIND_POINTER, KIND_TYPEDEF},
    specs::{DUPLICATE, ITERATOR, PROGRAMS},
};

/// Builds the model in BTF's own format, for `aya::Btf::parse`.
pub(super) fn attach_types(btf: &Btf<'_>) -> Vec<u8> {
    let mut strings = vec![0];
    let mut found = Vec::new();
    for (kind, name) in wanted() {
        // A type that this kernel lacks is missing in the model too, and aya says so.
        if let Some(id) = btf.find(kind, &name) {
            found.push((id, strings.len() as u32, kind));
            strings.extend(name.bytes().chain([0]));
        }
    }
    found.sort_unstable();

    let mut types: Vec<u8> = Vec::new();
    let mut add = |name: u32, kind: u32| types.extend([name, kind << 24, 0].iter().flat_map(|word| word.to_ne_bytes()));
    let mut next = 1;
    for (id, name, kind) in found {
        while next < id {
            add(0, KIND_POINTER);
            next += 1;
        }
        // Two programs may have one tracepoint.
        if next == id {
            add(name, kind);
            next += 1;
        }
    }
    encode(&types, &strings)
}

/// Kind and name of each type that a program is loaded with.
fn wanted() -> Vec<(u32, String)> {
    let tracepoints = PROGRAMS
        .iter()
        .map(|spec| (KIND_TYPEDEF, format!("btf_trace_{}", spec.tracepoint)));
    let functions = [format!("bpf_iter_{ITERATOR}"), DUPLICATE.to_owned()].map(|name| (KIND_FUNC, name));
    tracepoints.chain(functions).collect()
}

/// Puts a header before the two sections.
fn encode(types: &[u8], strings: &[u8]) -> Vec<u8> {
    const HEADER: u32 = 24;
    let (types_length, strings_length) = (types.len() as u32, strings.len() as u32);

    let mut data = 0xeb9f_u16.to_ne_bytes().to_vec();
    data.extend([1, 0]);
    for word in [HEADER, 0, types_length, types_length, strings_length] {
        data.extend(word.to_ne_bytes());
    }
    data.extend(types);
    data.extend(strings);
    data
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::sources::ebpf::btf::VMLINUX;

    #[test]
    fn the_model_has_the_numbers_of_the_kernel() {
        let data = std::fs::read(VMLINUX).unwrap();
        let whole = Btf::parse(&data).unwrap();
        let bytes = attach_types(&whole);
        let model = Btf::parse(&bytes).unwrap();
        for (kind, name) in wanted() {
            assert_eq!(model.find(kind, &name), whole.find(kind, &name), "{name}");
        }
        assert!(model.find(KIND_TYPEDEF, "btf_trace_sched_process_exec").is_some());
        assert!(aya::Btf::parse(&bytes, aya::Endianness::default()).is_ok());
    }
}
