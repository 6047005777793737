//! Types that cross a process or a disk.
