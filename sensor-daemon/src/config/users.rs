//! Who a user of a given name is.

/// Answers who a user is.
pub trait Users {
    /// The number of the user with this name, if there is one.
    fn uid(&self, name: &str) -> Option<u32>;
}

/// The users that this host knows (`/etc/passwd` and whatever `nsswitch.conf` adds).
#[derive(Clone, Copy, Debug)]
pub struct HostUsers;

impl Users for HostUsers {
    fn uid(&self, name: &str) -> Option<u32> {
        uzers::get_user_by_name(name).map(|user| user.uid())
    }
}
