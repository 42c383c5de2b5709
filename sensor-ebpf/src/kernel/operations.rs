//! File types by the address of a file's operations: one comparison where the inode would cost two reads.

use core::ptr;

/// What a file's operations (`f_op`) tell of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// Closed, a regular file, or a memory device such as `/dev/null`.
    Plain,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// Only the inode tells.
    Unknown,
}

/// Operations of regular files and memory devices that are remembered: `/dev/null` and a few file systems.
const PLAIN_MAX: usize = 4;

/// Addresses of the operations that were seen to serve files of one type alone: `socket_file_ops`, `pipefifo_fops`, and
/// those of file systems and of drivers/char/mem.c. BTF does not tell them. An address is zero until the first such file
/// was seen; the self-test at start shows the programs a socket. A terminal's operations are not kept: `tty_fops` serves
/// consoles as well, and a hang-up exchanges them.
struct Learned {
    socket: u64,
    pipe: u64,
    plain: [u64; PLAIN_MAX],
}

static mut LEARNED: Learned = Learned {
    socket: 0,
    pipe: 0,
    plain: [0; PLAIN_MAX],
};

/// Returns the address of the operations that every socket's file has, and no other file; zero until it is known.
#[inline(always)]
pub fn socket_operations() -> u64 {
    // SAFETY: an aligned word that only ever goes from zero to one value.
    unsafe { ptr::read_volatile(&raw const LEARNED.socket) }
}

/// Returns the type of files that these operations serve.
#[inline(always)]
pub fn operations(address: u64) -> Operations {
    if address == 0 {
        return Operations::Plain;
    }
    if address == socket_operations() {
        return Operations::Socket;
    }
    // SAFETY: aligned words, each of which only ever goes from zero to one value.
    unsafe {
        if address == ptr::read_volatile(&raw const LEARNED.pipe) {
            return Operations::Pipe;
        }
        for index in 0..PLAIN_MAX {
            if address == ptr::read_volatile((&raw const LEARNED.plain).cast::<u64>().add(index)) {
                return Operations::Plain;
            }
        }
    }
    Operations::Unknown
}

/// Remembers the operations of a file whose type is known. Two CPUs that learn at once leave either address in the word,
/// or one address in two words.
#[inline(always)]
pub fn learn(operations: u64, what: Operations) {
    // SAFETY: aligned words, each of which only ever goes from zero to one value.
    unsafe {
        match what {
            Operations::Socket => ptr::write_volatile(&raw mut LEARNED.socket, operations),
            Operations::Pipe => ptr::write_volatile(&raw mut LEARNED.pipe, operations),
            Operations::Plain => {
                for index in 0..PLAIN_MAX {
                    let place = (&raw mut LEARNED.plain).cast::<u64>().add(index);
                    if ptr::read_volatile(place) == 0 {
                        ptr::write_volatile(place, operations);
                        break;
                    }
                }
            }
            Operations::Unknown => {}
        }
    }
}
