//! How the user ids of a user namespace are mapped.

/// A mapping of user ids, `/proc/PID/uid_map`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidMap(Vec<[u64; 3]>);

impl UidMap {
    /// Reads it, as far as it makes sense.
    pub fn parse(text: &str) -> Self {
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let numbers = |line: &str| {
            let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
            let row = [numbers.next()??, numbers.next()??, numbers.next()??];
            numbers.next().is_none().then_some(row)
        };
        // 340 lines is the kernel's own limit.
        Self(lines.take(340).filter_map(numbers).collect())
    }

    /// The user id outside that `uid` inside is.
    pub fn outside(&self, uid: u32) -> Option<u32> {
        let uid = u64::from(uid);
        let [inside, outside, _] = *self
            .0
            .iter()
            .find(|[inside, _, count]| uid >= *inside && uid - inside < *count)?;
        outside.checked_add(uid - inside)?.try_into().ok()
    }

    /// The user id inside that `uid` outside is.
    pub fn inside(&self, uid: u32) -> Option<u32> {
        let swapped = self
            .0
            .iter()
            .map(|[inside, outside, count]| [*outside, *inside, *count]);
        Self(swapped.collect()).outside(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_mapped_both_ways() {
        for (text, inside, outside) in [
            ("         0          0 4294967295\n", 7, Some(7)),
            ("0 100000 65536\n", 0, Some(100_000)),
            ("0 1000 1\n1 100000 65536\n", 5, Some(100_004)),
            ("0 1000 1\n", 1, None),
            ("0 4294967295 9\n", 8, None),
            ("0 18446744073709551615 9\n", 8, None),
            ("x y z\n0 1\n0 1 2 3\n", 0, None),
            ("", 0, None),
        ] {
            let map = UidMap::parse(text);
            assert_eq!(map.outside(inside), outside, "{text}");
            if let Some(outside) = outside {
                assert_eq!(map.inside(outside), Some(inside), "{text}");
            }
            for part in (0..=text.len()).filter_map(|end| text.get(..end)) {
                let part = UidMap::parse(part);
                assert!(part.0.iter().all(|row| map.0.contains(row)), "a row that is cut counts");
            }
        }
    }
}
