//! The ethtool ioctl: what netlink does not tell, a driver's own counters.

#![allow(unsafe_code, reason = "the ioctl takes a structure with a pointer in it")]

use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::{MOST_COUNTERS, NAME_BYTES};

const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;

/// `struct ethtool_sset_info` with room for one set.
#[repr(C)]
struct SetInfo {
    command: u32,
    reserved: u32,
    mask: u64,
    count: u32,
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rom: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

/// Calls with a structure whose first word is the command.
///
/// # Safety
/// The kernel must not write beyond `data` for the command in it.
unsafe fn call<T: ?Sized>(netdev: &str, data: &mut T) -> io::Result<()> {
    // SAFETY: the request is plain bytes and a pointer, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if netdev.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(netdev.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut *data).cast();
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: the request and what it points to live until the call returns; the caller keeps
    // the bound on what is written.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How many counters the driver has.
pub(super) fn count(netdev: &str) -> io::Result<usize> {
    let mut info =
        SetInfo { command: ETHTOOL_GSSET_INFO, reserved: 0, mask: 1 << ETH_SS_STATS, count: 0 };
    // SAFETY: one bit in the mask makes the kernel write one count.
    unsafe { call(netdev, &mut info)? };
    // The kernel clears the bit of a set that the driver does not have.
    if info.mask == 0 {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    Ok(info.count as usize)
}

/// The names of the counters.
pub(super) fn names(netdev: &str, count: usize) -> io::Result<Vec<u8>> {
    let mut room = Room::new()?;
    let header = [ETHTOOL_GSTRINGS, ETH_SS_STATS, to_u32(count)?];
    for (to, word) in room.bytes().chunks_exact_mut(4).zip(header) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    // SAFETY: what is written beyond the room is refused by the guard behind it.
    unsafe { call(netdev, room.bytes())? };
    let written = room.word(8).min(MOST_COUNTERS);
    Ok(room.bytes()[12..][..written * NAME_BYTES].to_vec())
}

/// The values of the counters.
pub(super) fn values(netdev: &str, count: usize) -> io::Result<Vec<u64>> {
    let mut room = Room::new()?;
    let header = [ETHTOOL_GSTATS, to_u32(count)?];
    for (to, word) in room.bytes().chunks_exact_mut(4).zip(header) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    // SAFETY: what is written beyond the room is refused by the guard behind it.
    unsafe { call(netdev, room.bytes())? };
    let written = room.word(4).min(MOST_COUNTERS);
    let values = room.bytes()[8..][..written * 8].chunks_exact(8);
    Ok(values.map(|value| u64::from_ne_bytes(std::array::from_fn(|i| value[i]))).collect())
}

/// Memory that the kernel may fill with as many counters as the driver has by then: it does not
/// look at how many it was asked for. A guard behind it, as large as the most that the kernel
/// writes, makes it an error instead of damage if there are more than there is room for.
struct Room(NonNull<u8>);

/// The most counters, their names and a header.
const ROOM: usize = MOST_COUNTERS * NAME_BYTES + (1 << 16);
/// The kernel writes less than 2 GiB.
const GUARD: usize = 1 << 31;

impl Room {
    fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping of no file, anywhere.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), ROOM + GUARD, libc::PROT_NONE, flags, -1, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let room = Self(NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range is the start of the mapping that was just made.
        if unsafe { libc::mprotect(base, ROOM, access) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(room)
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes from the base are mapped, zero at first, for this room alone.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr(), ROOM) }
    }

    fn word(&mut self, at: usize) -> usize {
        let bytes = self.bytes();
        u32::from_ne_bytes(std::array::from_fn(|i| bytes[at + i])) as usize
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, which nothing refers to any more.
        let unmapped = unsafe { libc::munmap(self.0.as_ptr().cast(), ROOM + GUARD) };
        debug_assert_eq!(unmapped, 0);
    }
}

/// The version of the firmware; empty if the driver does not say.
pub(super) fn firmware(netdev: &str) -> io::Result<String> {
    // SAFETY: the structure is plain numbers, for which all zeroes is a value.
    let mut info: DriverInfo = unsafe { std::mem::zeroed() };
    info.command = ETHTOOL_GDRVINFO;
    const { assert!(size_of::<DriverInfo>() == 196 && offset_of!(DriverInfo, firmware) == 68) };
    // SAFETY: the kernel writes this structure.
    unsafe { call(netdev, &mut info)? };
    let text = info.firmware;
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    Ok(String::from_utf8_lossy(&text[..end]).trim().to_owned())
}

fn to_u32(count: usize) -> io::Result<u32> {
    let fits = count <= MOST_COUNTERS;
    u32::try_from(count).ok().filter(|_| fits).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
