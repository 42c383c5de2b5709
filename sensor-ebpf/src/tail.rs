//! The variable part of the record that is being built, in this CPU's scratch memory.
//!
//! Its length lies in map memory rather than in a register. The verifier then takes it for any number at every use, and
//! does not verify what follows anew for each range that it can have.

use sensor_common::record::{ExecRecord, StreamRecord, TAIL_MAX};

use crate::{
    kernel::{self, Fault, Path},
    maps::Scratch,
};

/// Access to the tail, and to the record before it.
pub struct Tail(*mut Scratch);

impl Tail {
    #[inline(always)]
    pub fn of(scratch: *mut Scratch) -> Self {
        Self(scratch)
    }

    /// Where the path walk is.
    #[inline(always)]
    pub fn place(&self) -> Path {
        // SAFETY: a field of this CPU's map value.
        unsafe { core::ptr::read_volatile(&raw const (*self.0).place) }
    }

    #[inline(always)]
    pub fn set_place(&self, place: Path) {
        // SAFETY: a field of this CPU's map value.
        unsafe { core::ptr::write_volatile(&raw mut (*self.0).place, place) }
    }

    #[inline(always)]
    #[expect(
        clippy::mut_from_ref,
        reason = "the scratch memory belongs to the one program that runs on this CPU"
    )]
    pub fn record(&self) -> &mut ExecRecord {
        // SAFETY: this CPU's map value, used by one program at a time; callers hold the reference for one assignment.
        unsafe { &mut (*self.0).record }
    }

    /// Bytes in use. To the verifier it is any number, each time.
    #[inline(always)]
    pub fn len(&self) -> u64 {
        // SAFETY: a field of this CPU's map value.
        unsafe { core::ptr::read_volatile(&raw const (*self.0).tail_len) }
    }

    #[inline(always)]
    fn set_len(&self, len: u64) {
        // SAFETY: a field of this CPU's map value.
        unsafe { core::ptr::write_volatile(&raw mut (*self.0).tail_len, len) }
    }

    #[inline(always)]
    pub fn clear(&self) {
        self.set_len(0);
    }

    /// Where to put `ROOM` bytes.
    #[inline(always)]
    fn room<const ROOM: usize>(&self) -> Result<(*mut u8, u64), Fault> {
        let len = self.len();
        if len > (TAIL_MAX - ROOM) as u64 {
            return Err(Fault);
        }
        // SAFETY: `len` + `ROOM` bytes lie within `tail`, as just compared.
        let place = unsafe { (&raw mut (*self.0).tail).cast::<u8>().add(len as usize) };
        Ok((place, len))
    }

    /// How many connections of the parent were found.
    #[inline(always)]
    pub fn held_count(&self) -> u32 {
        // SAFETY: a field of this CPU's map value.
        unsafe { core::ptr::read_volatile(&raw const (*self.0).handover.held_count) }
    }

    /// Appends one of them; `index` is below `HELD_MAX`.
    #[inline(always)]
    pub fn append_held(&self, index: usize) -> Result<(), Fault> {
        const SIZE: usize = size_of::<StreamRecord>();

        let (place, len) = self.room::<SIZE>()?;
        // SAFETY: `place` has room for `SIZE` bytes; the record is a field of this CPU's map value, which is kernel memory.
        unsafe {
            let held = (&raw const (*self.0).held).cast::<StreamRecord>().add(index);
            kernel::copy(place, SIZE as u32, held as u64)?;
        }
        self.set_len(len + SIZE as u64);
        Ok(())
    }

    /// Appends a NUL-terminated kernel string, cut to `MAX` bytes with its NUL.
    #[inline(always)]
    pub fn append_str<const MAX: usize>(&self, address: u64) -> Result<(), Fault> {
        let (place, len) = self.room::<MAX>()?;
        // SAFETY: `place` has room for `MAX` bytes.
        let written = unsafe { kernel::copy_str(place, MAX as u32, address)? };
        self.set_len(len + written);
        Ok(())
    }

    /// Appends `length` (at most `MAX`) bytes of the process's memory.
    #[inline(always)]
    pub fn append_user<const MAX: usize>(&self, address: u64, length: u64) -> Result<(), Fault> {
        let (place, len) = self.room::<MAX>()?;
        if length > MAX as u64 {
            return Err(Fault);
        }
        // SAFETY: `place` has room for `MAX` bytes, and `length` is not more.
        unsafe { kernel::copy_user(place, length as u32, address)? };
        self.set_len(len + length);
        Ok(())
    }
}
