/** The errno of host/ABI.md, section "Conventions". Functions answer them negated. */
export const EFAULT = 1;
export const EINVAL = 2;
export const EBADF = 3;
export const EAGAIN = 4;
export const EMFILE = 5;
export const ENOENT = 6;
export const EALREADY = 7;
export const ECANCELED = 8;
export const E2BIG = 9;
export const EIO = 10;
export const EPIPE = 11;
