// Serves files: `/NAME` is the file NAME of the folder that was given, moved by the host; `/read/NAME` the same, through this instance's memory.
// README.md beside this file says how to try it. Straight on the bindings of wasi:http and wasi:filesystem; ../lib is all of a libc that it needs.
#include "files.h"

#include <string.h>

enum { PIECE = 65536, WRITE = 4096 };  // the most that one read, one blocking write takes

typedef exports_wasi_http_incoming_handler_own_incoming_request_t own_request;
typedef exports_wasi_http_incoming_handler_own_response_outparam_t own_outparam;
typedef wasi_filesystem_types_own_descriptor_t own_descriptor;

size_t heap_mark(void);
void heap_release(size_t mark);

// ---- answers -----------------------------------------------------------------------------------------------------------------------------

static void add_length(wasi_http_types_own_fields_t fields, uint64_t n)
{
	char text[20];
	size_t at = sizeof text;
	do
		text[--at] = (char)('0' + n % 10);
	while (n /= 10);
	files_string_t name = {(uint8_t *)"content-length", strlen("content-length")};
	wasi_http_types_field_value_t value = {(uint8_t *)text + at, sizeof text - at};
	wasi_http_types_header_error_t error;
	wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &name, &value, &error);
}

static wasi_io_streams_own_output_stream_t begin(own_outparam out, uint16_t status, uint64_t length, wasi_http_types_own_outgoing_body_t *ret_body)
{
	wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
	add_length(fields, length);
	wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(fields);
	wasi_http_types_method_outgoing_response_set_status_code(wasi_http_types_borrow_outgoing_response(response), status);
	wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), ret_body);
	wasi_http_types_result_own_outgoing_response_error_code_t ok = {.is_err = false, .val.ok = response};
	wasi_http_types_static_response_outparam_set(out, &ok);
	wasi_io_streams_own_output_stream_t stream;
	wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(*ret_body), &stream);
	return stream;
}

static void end(wasi_io_streams_own_output_stream_t stream, wasi_http_types_own_outgoing_body_t body)
{
	wasi_io_streams_output_stream_drop_own(stream);
	wasi_http_types_error_code_t error;
	wasi_http_types_static_outgoing_body_finish(body, NULL, &error);
}

static bool write(wasi_io_streams_own_output_stream_t to, uint8_t *at, size_t n)
{
	for (size_t piece; n; at += piece, n -= piece) {
		piece = n < WRITE ? n : WRITE;
		files_list_u8_t chunk = {at, piece};
		wasi_io_streams_stream_error_t error;
		if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(to), &chunk, &error))
			return false;
	}
	return true;
}

static void say(own_outparam out, uint16_t status, const char *text)
{
	wasi_http_types_own_outgoing_body_t body;
	wasi_io_streams_own_output_stream_t stream = begin(out, status, strlen(text), &body);
	write(stream, (uint8_t *)text, strlen(text));
	end(stream, body);
}

// ---- files -------------------------------------------------------------------------------------------------------------------------------

static void move(own_descriptor file, wasi_io_streams_own_output_stream_t to)
{
	wasi_io_streams_own_input_stream_t from;
	wasi_filesystem_types_error_code_t code;
	if (!wasi_filesystem_types_method_descriptor_read_via_stream(wasi_filesystem_types_borrow_descriptor(file), 0, &from, &code))
		return;
	wasi_io_streams_stream_error_t error;
	uint64_t n;
	while (wasi_io_streams_method_output_stream_blocking_splice(wasi_io_streams_borrow_output_stream(to), wasi_io_streams_borrow_input_stream(from), PIECE, &n,
		&error))
		;
	wasi_io_streams_input_stream_drop_own(from);
}

static void pass(own_descriptor file, wasi_io_streams_own_output_stream_t to)
{
	wasi_filesystem_types_error_code_t code;
	files_tuple2_list_u8_bool_t piece = {0};
	for (uint64_t at = 0; !piece.f1; at += piece.f0.len) {
		size_t mark = heap_mark();
		if (!wasi_filesystem_types_method_descriptor_read(wasi_filesystem_types_borrow_descriptor(file), PIECE, at, &piece, &code) ||
			!write(to, piece.f0.ptr, piece.f0.len))
			return;
		heap_release(mark);
	}
}

static void serve(own_outparam out, own_descriptor folder, files_string_t name, bool through_memory)
{
	own_descriptor file;
	wasi_filesystem_types_error_code_t code;
	wasi_filesystem_types_descriptor_stat_t st;
	if (!wasi_filesystem_types_method_descriptor_open_at(wasi_filesystem_types_borrow_descriptor(folder), WASI_FILESYSTEM_TYPES_PATH_FLAGS_SYMLINK_FOLLOW, &name, 0,
			WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_READ, &file, &code)) {
		say(out, code == WASI_FILESYSTEM_TYPES_ERROR_CODE_NO_ENTRY ? 404 : 403, "no such file for you\n");
		return;
	}
	if (!wasi_filesystem_types_method_descriptor_stat(wasi_filesystem_types_borrow_descriptor(file), &st, &code) ||
		st.type != WASI_FILESYSTEM_TYPES_DESCRIPTOR_TYPE_REGULAR_FILE) {
		say(out, 403, "that is no file\n");
		return;
	}
	wasi_http_types_own_outgoing_body_t body;
	wasi_io_streams_own_output_stream_t stream = begin(out, 200, st.size, &body);
	(through_memory ? pass : move)(file, stream);
	end(stream, body);
}

void exports_wasi_http_incoming_handler_handle(own_request request, own_outparam out)
{
	static const char read[] = "/read/";
	files_string_t path = {0};
	wasi_http_types_method_incoming_request_path_with_query(wasi_http_types_borrow_incoming_request(request), &path);
	if (path.len == 1) {
		say(out, 200, "files: ask for one by its name\n");
		return;
	}
	wasi_filesystem_preopens_list_tuple2_own_descriptor_string_t folders;
	wasi_filesystem_preopens_get_directories(&folders);
	if (folders.len == 0) {
		say(out, 500, "no folder was given: --dir HOST::/\n");
		return;
	}
	bool through_memory = path.len > sizeof read - 1 && memcmp(path.ptr, read, sizeof read - 1) == 0;
	size_t skip = through_memory ? sizeof read - 1 : 1;
	files_string_t name = {path.ptr + skip, path.len - skip};
	serve(out, folders.ptr[0].f0, name, through_memory);
}
