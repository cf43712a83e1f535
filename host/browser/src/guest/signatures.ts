/**
 * Every function that a guest can import, with its type: parameters, a colon, results; i is i32, I is i64. A module that asks for
 * another type is refused, as the server's engine does: JavaScript itself would take any.
 */

const abi = `
request ii:i read_request ii:i respond ii:i fail ii:i log iii:i config iiii:i send ii:i group ii:i wait iiiIi:i head iii:i body iii:i
quiet i:i outcomes iii:i cancel i:i drop i:i open ii:i open_group ii:i read iii:i read_error iii:i write iii:i finish i:i stream_request :i
open_request :i begin ii:i time_left :I`;

const wasi = `
args_get ii:i args_sizes_get ii:i environ_get ii:i environ_sizes_get ii:i clock_res_get ii:i clock_time_get iIi:i random_get ii:i
poll_oneoff iiii:i proc_exit i: proc_raise i:i sched_yield :i fd_write iiii:i fd_read iiii:i fd_close i:i fd_fdstat_get ii:i
fd_fdstat_set_flags ii:i fd_filestat_get ii:i fd_seek iIii:i fd_tell ii:i fd_sync i:i fd_datasync i:i fd_advise iIIi:i fd_allocate iII:i
fd_fdstat_set_rights iII:i fd_filestat_set_size iI:i fd_filestat_set_times iIIi:i fd_pread iiiIi:i fd_prestat_get ii:i
fd_prestat_dir_name iii:i fd_pwrite iiiIi:i fd_readdir iiiIi:i fd_renumber ii:i path_create_directory iii:i path_filestat_get iiiii:i
path_filestat_set_times iiiiIIi:i path_link iiiiiii:i path_open iiiiiIIii:i path_readlink iiiiii:i path_remove_directory iii:i
path_rename iiiiii:i path_symlink iiiii:i path_unlink_file iii:i sock_accept iii:i sock_recv iiiiii:i sock_send iiiii:i sock_shutdown ii:i`;

const extism = `
alloc I:I free I: load_u8 I:i load_u64 I:I store_u8 Ii: store_u64 II: input_set II: input_length :I input_offset :I input_load_u8 I:i
input_load_u64 I:I output_set II: output_length :I output_offset :I length I:I length_unsafe I:I reset : error_set I: error_get :I
memory_bytes :I config_get I:I var_get I:I var_set II: http_request II:I http_status_code :i http_headers :I get_log_level :i log_trace I:
log_debug I: log_info I: log_warn I: log_error I:`;

const table = (text: string) => {
  const words = text.trim().split(/\s+/);
  return new Map(words.filter((_, i) => i % 2 === 0).map((name, i) => [name, words[i * 2 + 1]!]));
};

export const abiModule = "sortie:host/v1";
export const wasiModule = "wasi_snapshot_preview1";
export const extismModule = "extism:host/env";
export const extismUserModule = "extism:host/user";

/** By the module that they are imported from. */
export const signatures = new Map([
  [abiModule, table(abi)],
  [wasiModule, table(wasi)],
  [extismModule, table(extism)],
  [extismUserModule, table("fetch_all I:I")],
]);
