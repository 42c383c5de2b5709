//! Reads member offsets, enumerators and type numbers out of the kernel's BTF, without building a model of the 130,000 types
//! in it.
//!
//! A library would break the sensor's memory budget at start: `btfparse` needs 60 MB and 120 ms for this. This reader needs
//! the file and 0.5 MB. The library is the oracle in the tests. Documentation/bpf/btf.rst of the kernel describes the format.

use std::collections::HashMap;

use sensor_common::offsets::{self, FIELDS, Field, MISSING};

/// Where the kernel shows its own type information (5.4 on, with CONFIG_DEBUG_INFO_BTF).
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// BTF that can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF, or cut short.
    #[error("not well-formed BTF ({0})")]
    Malformed(&'static str),
    /// A kind of type that came after this reader: its length is unknown, so that what follows can't be found.
    #[error("BTF with an unknown kind of type ({0}); a newer sensor is needed for this kernel")]
    UnknownKind(u32),
    /// The kernel lacks struct members that the sensor can't work without.
    #[error("this kernel's types lack what the sensor reads: {}", .0.join(", "))]
    MissingFields(Vec<String>),
}

pub(super) const KIND_POINTER: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
pub(super) const KIND_TYPEDEF: u32 = 8;
pub(super) const KIND_FUNC: u32 = 12;
const MEMBER_SIZE: usize = 12;
/// Anonymous structs within each other; real ones reach 4.
const NESTING_MAX: u32 = 16;

/// BTF in native byte order, with an index of its types.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; type 0 is void and has no place.
    starts: Vec<u32>,
}

/// The fixed part of a type.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    info: u32,
    size_or_type: u32,
    /// Where its kind-specific part begins.
    data: usize,
}

impl Type {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn count(self) -> usize {
        (self.info & 0xffff) as usize
    }

    fn has_bitfields(self) -> bool {
        self.info >> 31 == 1
    }
}

/// Where a member lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    bits: u32,
    bitfield_size: u32,
}

impl<'a> Btf<'a> {
    /// Takes the whole file.
    ///
    /// # Errors
    /// The header or a type does not fit the data.
    pub fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        let word = |at| word_at(data, at).ok_or(BtfError::Malformed("header cut short"));
        if data.get(..2) != Some(&0xeb9f_u16.to_ne_bytes()) {
            return Err(BtfError::Malformed("wrong magic number"));
        }
        let header = word(4)? as usize;
        let section = |offset: u32, length: u32| {
            let start = header.checked_add(offset as usize)?;
            data.get(start..start.checked_add(length as usize)?)
        };
        let types = section(word(8)?, word(12)?).ok_or(BtfError::Malformed("type section out of bounds"))?;
        let strings = section(word(16)?, word(20)?).ok_or(BtfError::Malformed("string section out of bounds"))?;

        let mut starts = vec![0];
        let mut at = 0;
        while at < types.len() {
            starts.push(at as u32);
            let type_ = type_at(types, at).ok_or(BtfError::Malformed("type cut short"))?;
            let count = type_.count();
            at = type_.data
                + match type_.kind() {
                    1 | 14 | 17 => 4,
                    KIND_ARRAY => 12,
                    KIND_STRUCT | KIND_UNION | 15 | 19 => MEMBER_SIZE * count,
                    KIND_ENUM | 13 => 8 * count,
                    KIND_POINTER | 7..=KIND_FUNC | 16 | 18 => 0,
                    kind => return Err(BtfError::UnknownKind(kind)),
                };
        }
        if at != types.len() {
            return Err(BtfError::Malformed("last type cut short"));
        }
        Ok(Self { types, strings, starts })
    }

    /// Resolves every entry of the offset table, in its order; absent optional ones are [`MISSING`].
    ///
    /// # Errors
    /// Required members are absent; all of them are named.
    pub fn offsets(&self) -> Result<Vec<u32>, BtfError> {
        let mut structs: HashMap<&str, Vec<u32>> = FIELDS
            .iter()
            .flat_map(|field| field.candidates)
            .map(|(name, _)| (*name, Vec::new()))
            .collect();
        for (id, type_) in self.iter() {
            if type_.kind() == KIND_STRUCT
                && let Some(ids) = self.name(type_.name).and_then(|name| structs.get_mut(name))
            {
                ids.push(id);
            }
        }
        let mut missing = Vec::new();
        let values = FIELDS
            .iter()
            .map(|field| {
                let found = field.candidates.iter().find_map(|(structure, path)| {
                    structs
                        .get(structure)?
                        .iter()
                        .find_map(|&id| value(field, self.member(id, path)?))
                });
                if found.is_none() && field.required {
                    let candidates: Vec<_> = field.candidates.iter().map(|(s, p)| format!("{s}.{p}")).collect();
                    missing.push(candidates.join(" or "));
                }
                found.unwrap_or(MISSING)
            })
            .collect();
        if missing.is_empty() {
            Ok(values)
        } else {
            Err(BtfError::MissingFields(missing))
        }
    }

    /// The value of an enumerator, whatever its enumeration is called; [`MISSING`] if the kernel has none of that name.
    #[must_use]
    pub fn enumerator(&self, name: &str) -> u32 {
        self.iter()
            .filter(|(_, type_)| type_.kind() == KIND_ENUM)
            .find_map(|(_, type_)| {
                (0..type_.count()).find_map(|index| {
                    let at = type_.data + 8 * index;
                    (self.name(word_at(self.types, at)?)? == name).then(|| word_at(self.types, at + 4))?
                })
            })
            .unwrap_or(MISSING)
    }

    /// The number of the first type of this kind and name.
    pub(super) fn find(&self, kind: u32, name: &str) -> Option<u32> {
        self.iter()
            .find(|(_, type_)| type_.kind() == kind && self.name(type_.name) == Some(name))
            .map(|(id, _)| id)
    }

    fn iter(&self) -> impl Iterator<Item = (u32, Type)> {
        (1..self.starts.len() as u32).filter_map(|id| Some((id, self.get(id)?)))
    }

    fn get(&self, id: u32) -> Option<Type> {
        if id == 0 {
            return None;
        }
        type_at(self.types, *self.starts.get(id as usize)? as usize)
    }

    fn name(&self, offset: u32) -> Option<&'a str> {
        let bytes = self.strings.get(offset as usize..)?;
        let end = bytes.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }

    /// Follows a dotted path through nested structs, anonymous ones in between included.
    fn member(&self, structure: u32, path: &str) -> Option<Place> {
        let mut id = structure;
        let mut place = Place {
            bits: 0,
            bitfield_size: 0,
        };
        for name in path.split('.') {
            let (found, type_) = self.direct_member(self.strip(id)?, name, NESTING_MAX)?;
            place = Place {
                bits: place.bits.checked_add(found.bits)?,
                bitfield_size: found.bitfield_size,
            };
            id = type_;
        }
        Some(place)
    }

    fn direct_member(&self, structure: u32, name: &str, depth: u32) -> Option<(Place, u32)> {
        let type_ = self.get(structure)?;
        if !matches!(type_.kind(), KIND_STRUCT | KIND_UNION) || depth == 0 || name.is_empty() {
            return None;
        }
        (0..type_.count()).find_map(|index| {
            let at = type_.data + MEMBER_SIZE * index;
            let (member_name, member_type, packed) = (
                word_at(self.types, at)?,
                word_at(self.types, at + 4)?,
                word_at(self.types, at + 8)?,
            );
            let place = if type_.has_bitfields() {
                Place {
                    bits: packed & 0x00ff_ffff,
                    bitfield_size: packed >> 24,
                }
            } else {
                Place {
                    bits: packed,
                    bitfield_size: 0,
                }
            };
            let member_name = self.name(member_name)?;
            if member_name == name {
                return Some((place, member_type));
            }
            if !member_name.is_empty() {
                return None;
            }
            let (inner, type_) = self.direct_member(self.strip(member_type)?, name, depth - 1)?;
            Some((
                Place {
                    bits: place.bits.checked_add(inner.bits)?,
                    ..inner
                },
                type_,
            ))
        })
    }

    /// Strips typedefs, const, volatile, restrict and type tags.
    fn strip(&self, mut id: u32) -> Option<u32> {
        for _ in 0..NESTING_MAX {
            let type_ = self.get(id)?;
            if !matches!(type_.kind(), KIND_TYPEDEF..=11 | 18) {
                return Some(id);
            }
            id = type_.size_or_type;
        }
        None
    }
}

/// What the offset table holds for a member at this place, if it is of the form that the kernel side expects.
fn value(field: &Field, place: Place) -> Option<u32> {
    match (field.bitfield, place.bitfield_size) {
        (false, 0) if place.bits.is_multiple_of(8) => Some(place.bits / 8),
        // A whole byte in some kernels, a part of one in others.
        (true, _) => Some(offsets::bitfield(place.bits / 8, place.bits % 8)),
        _ => None,
    }
}

fn word_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*data.get(at..)?.first_chunk()?))
}

fn type_at(types: &[u8], at: usize) -> Option<Type> {
    Some(Type {
        name: word_at(types, at)?,
        info: word_at(types, at + 4)?,
        size_or_type: word_at(types, at + 8)?,
        data: at + 12,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vmlinux() -> Vec<u8> {
        std::fs::read(VMLINUX).expect("these tests need a kernel with BTF")
    }

    struct Bytes(Vec<u8>);

    impl btfparse::Readable for Bytes {
        fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
            buffer.copy_from_slice(&self.0[offset as usize..offset as usize + buffer.len()]);
            Ok(())
        }
    }

    #[test]
    fn agrees_with_btfparse_on_every_field() {
        let data = vmlinux();
        let ours = Btf::parse(&data).unwrap().offsets().unwrap();
        let oracle = btfparse::TypeInformation::new(&Bytes(data)).unwrap();
        let mut compared = 0;
        for (field, &value) in FIELDS.iter().zip(&ours) {
            let theirs = field.candidates.iter().find_map(|(structure, path)| {
                let (_, offset) = oracle.offset_of(oracle.id_of(structure)?, path).ok()?;
                match offset {
                    btfparse::Offset::ByteOffset(bytes) => Some(bytes),
                    btfparse::Offset::BitOffsetAndSize(bits, _) => Some(bits / 8),
                }
            });
            let Some(theirs) = theirs else {
                assert_eq!(value, MISSING, "{}", field.name);
                continue;
            };
            let byte = if field.bitfield {
                offsets::bitfield_parts(value).0
            } else {
                value
            };
            assert_eq!(byte, theirs, "{}", field.name);
            compared += 1;
        }
        assert!(compared > 70, "only {compared} fields were compared");
    }

    #[test]
    fn unknown_enumerators_are_missing() {
        let data = vmlinux();
        let btf = Btf::parse(&data).unwrap();
        assert!(btf.enumerator("BPF_PROG_TYPE_TRACING") < 64);
        assert_eq!(btf.enumerator("no_such_enumerator"), MISSING);
    }

    /// Three types: `int`, `struct inner { int x; }`, `struct outer { int a; struct { int b; }; struct inner c; int d:3 }`.
    fn small() -> Vec<u8> {
        let strings = b"\0int\0inner\0x\0outer\0a\0b\0c\0d\0";
        let name = |text: &str| {
            let needle: Vec<u8> = [text.as_bytes(), b"\0"].concat();
            strings
                .windows(needle.len())
                .position(|window| window == needle)
                .unwrap() as u32
        };
        let mut types: Vec<u32> = Vec::new();
        types.extend([name("int"), 1 << 24, 4, 32]);
        types.extend([name("inner"), 4 << 24 | 1, 4, name("x"), 1, 0]);
        types.extend([0, 4 << 24 | 1, 4, name("b"), 1, 0]);
        types.extend([name("outer"), 1 << 31 | 4 << 24 | 4, 16]);
        types.extend([name("a"), 1, 0, 0, 3, 32, name("c"), 2, 64, name("d"), 1, 3 << 24 | 101]);
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut data = 0xeb9f_u16.to_ne_bytes().to_vec();
        data.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            data.extend(word.to_ne_bytes());
        }
        data.extend(types);
        data.extend(strings);
        data
    }

    #[test]
    fn members_are_found_through_anonymous_and_named_structs() {
        let data = small();
        let btf = Btf::parse(&data).unwrap();
        let bits = |path| btf.member(4, path).map(|place| place.bits);
        assert_eq!(
            (bits("a"), bits("b"), bits("c.x"), bits("d")),
            (Some(0), Some(32), Some(64), Some(101))
        );
        assert_eq!(btf.member(4, "d").map(|place| place.bitfield_size), Some(3));
        assert_eq!(
            (bits("x"), bits("a.b"), bits("c.y"), bits("")),
            (None, None, None, None)
        );
        assert!(matches!(btf.offsets(), Err(BtfError::MissingFields(missing)) if missing.len() > 60));
    }

    #[test]
    fn truncation_at_every_byte_is_an_error_or_fewer_types_but_never_a_panic() {
        let data = small();
        for length in 0..data.len() {
            if let Ok(btf) = Btf::parse(&data[..length]) {
                let _ = btf.offsets();
            }
        }
        for position in 0..data.len() {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = data.clone();
                damaged[position] = value;
                if let Ok(btf) = Btf::parse(&damaged) {
                    let _ = (btf.offsets(), btf.enumerator("x"));
                }
            }
        }
    }
}
