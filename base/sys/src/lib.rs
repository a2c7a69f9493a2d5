//! Clock, disk, sockets and tasks: the only door to the operating system.
