//! The stages in which the kernel side describes an exec. Each stage is a program of its own, which the one before calls
//! as a tail through the program array `STAGES`. User space puts the programs there.

/// An index into `STAGES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stage {
    /// Decides about an exec whose streams are pipes, terminals or UNIX sockets.
    ConsiderPiped = 0,
    /// Describes the process, its streams and its ancestors.
    DescribeProcess = 1,
    /// Describes the connections that the parent holds.
    DescribeHeld = 2,
    /// Describes the program and sends the record.
    DescribeProgram = 3,
}

impl Stage {
    /// How many there are.
    pub const COUNT: u32 = 4;
}
