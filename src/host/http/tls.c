// TLS by OpenSSL, as a transport: 1.2 and 1.3, both sides. The handshake happens within the first recv or sendv, so that a connection needs not know of it.
//
// 1. OpenSSL may want to read for a write, and to write for a read: `want` watches what it wants, on_io tells the connection of what it waits for.
// 2. What was decrypted and not taken makes no descriptor readable: `again` calls the connection.
// 3. An end without close_notify is a reset: what has come so far may not be all.
// 4. A record that the kernel did not take whole is encrypted: `fixed`. Who offers its bytes again may have changed nothing of them.
// 5. Each call leaves OpenSSL's queue of errors empty.
#include "tls.h"
#include "openssl.h"

#include <errno.h>

enum { RECORD = 16384, PAIRS_MAX = 64 };

// What was read at one time. It lives as long as it is the newest of its http_tls, or a connection has begun with it: handshakes look at it.
struct tls_set {
	struct shared_count uses;
	uint32_t n;
	SSL_CTX *contexts[PAIRS_MAX];
};
struct http_tls {
	struct spinlock lock;
	struct tls_set *set;  // under the lock: the newest
	uint32_t n_pairs;     // 0: of requests that go out
	uint64_t stamp;       // of the files
	struct http_tls_pair list[PAIRS_MAX];
};

struct tls_state {
	SSL *ssl;
	struct tls_set *set;
	void (*fn)(struct loop_io *io, uint32_t ready);
	struct loop_job again;
	struct http_transport *transport;
	uint32_t wanted;  // by the connection
	bool read_wants_write, write_wants_read;
	uint8_t record[RECORD];  // parts are gathered into
};

// ---- sets ------------------------------------------------------------------------------------------------------------------------

static struct tls_set *new_set(void)
{
	struct tls_set *s = mem_zalloc(sizeof *s);
	if (s)
		s->uses.n = 1;
	return s;
}

static void unref_set(struct tls_set *s)
{
	if (!s || shared_count_down(&s->uses))
		return;
	for (uint32_t i = 0; i < s->n; i++)
		SSL_CTX_free(s->contexts[i]);
	mem_free(s);
}

static struct tls_set *ref_newest(struct http_tls *t)
{
	spinlock_lock(&t->lock);
	struct tls_set *s = t->set;
	shared_count_up(&s->uses, UINT64_MAX);
	spinlock_unlock(&t->lock);
	return s;
}

static struct tls_set *replace_newest(struct http_tls *t, struct tls_set *s)
{
	spinlock_lock(&t->lock);
	struct tls_set *before = t->set;
	t->set = s;
	spinlock_unlock(&t->lock);
	return before;
}

// ---- bytes, through sys_net ------------------------------------------------------------------------------------------------------

static int bio_read(BIO *b, char *into, int max)
{
	const struct tls_state *s = BIO_get_data(b);
	int64_t n = sys_net.recv(s->transport->io.fd, into, (size_t)max);
	BIO_clear_retry_flags(b);
	if (n == -EAGAIN)
		BIO_set_retry_read(b);
	return n < 0 ? -1 : (int)n;
}

static int bio_write(BIO *b, const char *from, int len)
{
	const struct tls_state *s = BIO_get_data(b);
	struct iovec v = {UNCONST(from), (size_t)len};
	int64_t n = sys_net.sendv(s->transport->io.fd, &v, 1);
	BIO_clear_retry_flags(b);
	if (n == -EAGAIN)
		BIO_set_retry_write(b);
	return n < 0 ? -1 : (int)n;
}

static long bio_ctrl(BIO *b, int what, long arg, void *p)
{
	return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;  // one for the life of the process
	BIO_METHOD *m = __atomic_load_n(&method, __ATOMIC_ACQUIRE), *none = NULL;
	if (m)
		return m;
	m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "tenon");
	if (!m || !BIO_meth_set_read(m, bio_read) || !BIO_meth_set_write(m, bio_write) || !BIO_meth_set_ctrl(m, bio_ctrl)) {
		BIO_meth_free(m);
		return NULL;
	}
	if (__atomic_compare_exchange_n(&method, &none, m, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return m;
	BIO_meth_free(m);  // another thread was first
	return none;
}

// ---- operations ------------------------------------------------------------------------------------------------------------------

static struct tls_state *state_of(const struct http_transport *t)
{
	return t->of;
}

static void apply_interest(struct http_transport *t)
{
	const struct tls_state *s = state_of(t);
	uint32_t want = s->wanted;
	if (want & LOOP_WRITE && s->write_wants_read)
		want = (want & ~(uint32_t)LOOP_WRITE) | LOOP_READ;
	if (want & LOOP_READ && s->read_wants_write)
		want |= LOOP_WRITE;
	loop_io_want(&t->io, want);
}

static void note_failure(struct http_transport *t)
{
	unsigned long why = ERR_peek_error();
	int reason = ERR_GET_REASON(why);
	if (t->failure)
		return;
	if (ERR_GET_LIB(why) == ERR_LIB_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		t->failure = HTTP_FAILURE_TLS_CERTIFICATE_ERROR;
	else if (ERR_GET_LIB(why) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET) {
		t->failure = HTTP_FAILURE_TLS_ALERT_RECEIVED;
		t->alert = (uint8_t)(reason - SSL_AD_REASON_OFFSET);
	} else if (!SSL_is_init_finished(state_of(t)->ssl))
		t->failure = HTTP_FAILURE_TLS_PROTOCOL_ERROR;
}

// What SSL_read or SSL_write said, as recv and send would.
static int64_t result(struct http_transport *t, int ok, size_t n, bool reading)
{
	struct tls_state *s = state_of(t);
	bool *crossed = reading ? &s->read_wants_write : &s->write_wants_read, was = *crossed;
	int why = ok > 0 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, ok);
	int64_t r = (int64_t)n;
	*crossed = why == (reading ? SSL_ERROR_WANT_WRITE : SSL_ERROR_WANT_READ);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		r = -EAGAIN;
	} else if (why == SSL_ERROR_ZERO_RETURN) {
		r = reading ? 0 : -EPIPE;
	} else if (why != SSL_ERROR_NONE) {
		note_failure(t);
		r = -ECONNRESET;
	}
	ERR_clear_error();
	if (*crossed != was)
		apply_interest(t);
	return r;
}

static int64_t tls_recv(struct http_transport *t, void *into, size_t max)
{
	struct tls_state *s = state_of(t);
	size_t n = 0;
	int ok = SSL_read_ex(s->ssl, into, max, &n);
	int64_t r = result(t, ok, n, true);
	if (r > 0 && SSL_has_pending(s->ssl))
		loop_post(t->io.loop, &s->again);
	return r;
}

// One record of what stands at `*at` of the parts and behind it.
static struct slice next_record(struct tls_state *s, const struct iovec *parts, int n, size_t from)
{
	size_t len = 0;
	for (int i = 0; i < n && len < RECORD; i++) {
		struct slice part = slice_sub(slice_of(parts[i].iov_base, parts[i].iov_len), from, RECORD - len);
		from -= min_u64(from, parts[i].iov_len);
		if (len == 0 && part.len == RECORD)
			return part;
		if (part.len)
			memcpy(s->record + len, part.ptr, part.len);
		len += part.len;
	}
	return slice_of(s->record, len);
}

static int64_t tls_sendv(struct http_transport *t, const struct iovec *parts, int n)
{
	struct tls_state *s = state_of(t);
	size_t total = 0, sent = 0;
	for (int i = 0; i < n; i++)
		total += parts[i].iov_len;
	t->fixed = 0;
	while (sent < total) {
		struct slice record = next_record(s, parts, n, sent);
		size_t wrote = 0;
		int ok = SSL_write_ex(s->ssl, record.ptr, record.len, &wrote);
		int64_t r = result(t, ok, wrote, false);
		if (r < 0) {
			t->fixed = r == -EAGAIN && SSL_is_init_finished(s->ssl) ? (uint32_t)record.len : 0;
			return sent ? (int64_t)sent : r;
		}
		sent += wrote;
	}
	return (int64_t)sent;
}

static void tls_shutdown(struct http_transport *t)
{
	SSL_shutdown(state_of(t)->ssl);
	ERR_clear_error();
	sys_shutdown_write(t->io.fd);
}

static void free_state(struct tls_state *s)
{
	if (s) {
		SSL_free(s->ssl);
		unref_set(s->set);
	}
	mem_free(s);
}

static void tls_close(struct http_transport *t, bool reset)
{
	struct tls_state *s = state_of(t);
	int fd = t->io.fd;
	if (reset)
		sys_linger_zero(fd);
	else if (SSL_is_init_finished(s->ssl))
		SSL_shutdown(s->ssl);
	loop_job_cancel(&s->again);
	loop_io_close(&t->io, true);
	free_state(s);
	ERR_clear_error();
	sys_close(fd);
	t->of = NULL;
}

static void tls_want(struct http_transport *t, uint32_t interest)
{
	struct tls_state *s = state_of(t);
	s->wanted = interest;
	apply_interest(t);
	if (interest & LOOP_READ && SSL_has_pending(s->ssl))
		loop_post(t->io.loop, &s->again);
}

static uint64_t tls_unsent(struct http_transport *t)
{
	return sys_out_queue(t->io.fd);
}

static bool tls_is_ready(const struct http_transport *t)
{
	return SSL_is_init_finished(state_of(t)->ssl);
}

static bool tls_is_h2(const struct http_transport *t)
{
	const uint8_t *name;
	unsigned n;
	SSL_get0_alpn_selected(state_of(t)->ssl, &name, &n);
	return slice_eq_str(slice_of(name, n), "h2");
}

// ---- events ----------------------------------------------------------------------------------------------------------------------

static void on_io(struct loop_io *io, uint32_t ready)
{
	struct http_transport *t = CONTAINER_OF(io, struct http_transport, io);
	const struct tls_state *s = state_of(t);
	if (ready & LOOP_READ && s->write_wants_read)
		ready |= LOOP_WRITE;
	if (ready & LOOP_WRITE && s->read_wants_write)
		ready |= LOOP_READ;
	s->fn(io, ready);
}

static void read_again(struct loop_job *j)
{
	struct tls_state *s = CONTAINER_OF(j, struct tls_state, again);
	if (s->wanted & LOOP_READ)
		s->fn(&s->transport->io, LOOP_READ);
}

// ---- from loop to loop -------------------------------------------------------------------------------------------------------------

static int tls_detach(struct http_transport *t)
{
	int fd = t->io.fd;
	loop_job_cancel(&state_of(t)->again);
	loop_io_close(&t->io, false);
	return fd;
}

static bool tls_attach(struct http_transport *t, struct loop *l, int fd, void (*fn)(struct loop_io *io, uint32_t ready))
{
	struct tls_state *s = state_of(t);
	if (!loop_io_open(l, &t->io, fd, LOOP_READ, on_io, NULL))
		return false;
	s->transport = t;
	s->fn = fn;
	s->wanted = LOOP_READ;
	apply_interest(t);  // a key update may want to be sent
	if (SSL_has_pending(s->ssl))
		loop_post(l, &s->again);
	return true;
}

static void tls_drop(int fd, void *of)
{
	free_state(of);
	ERR_clear_error();
	sys_close(fd);
}

static const struct http_transport_ops tls = {
	.recv = tls_recv,
	.sendv = tls_sendv,
	.shutdown = tls_shutdown,
	.close = tls_close,
	.want = tls_want,
	.unsent = tls_unsent,
	.is_ready = tls_is_ready,
	.is_h2 = tls_is_h2,
	.detach = tls_detach,
	.attach = tls_attach,
	.drop = tls_drop,
};

// ---- opening ---------------------------------------------------------------------------------------------------------------------

// The name that the certificate must vouch for; an address is not sent as SNI (RFC 6066, 3).
static bool set_name(SSL *ssl, const char *host)
{
	uint8_t ip[16];
	struct sys_address a;
	X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
	if (sys_address_parse(host, 0, &a))
		return sys_address_ip(&a, ip) ? X509_VERIFY_PARAM_set1_ip(p, ip, 16) : X509_VERIFY_PARAM_set1_ip(p, ip + 12, 4);
	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(p, host, 0) && SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, UNCONST(host));
}

static SSL *new_ssl(struct tls_state *s, const char *host)
{
	SSL *ssl = SSL_new(s->set->contexts[0]);
	BIO_METHOD *method = bio_method();
	BIO *bio = ssl && method ? BIO_new(method) : NULL;
	if (!bio || (host && !set_name(ssl, host))) {
		BIO_free(bio);
		SSL_free(ssl);
		ERR_clear_error();
		return NULL;
	}
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	if (host)
		SSL_set_connect_state(ssl);
	else
		SSL_set_accept_state(ssl);
	return ssl;
}

bool http__transport_open_tls(struct http_transport *t, struct loop *l, int fd, struct http_tls *of, const char *host,
	void (*fn)(struct loop_io *io, uint32_t ready), struct err *e)
{
	struct tls_state *s = mem_zalloc(sizeof *s);
	if (s) {
		s->set = ref_newest(of);
		s->transport = t;
		s->ssl = new_ssl(s, host);
	}
	if (!s || !s->ssl) {
		free_state(s);
		sys_close(fd);
		return err_nomem(e);
	}
	s->fn = fn;
	s->again.fn = read_again;
	s->wanted = LOOP_READ;
	t->ops = &tls;
	t->of = s;
	if (loop_io_open(l, &t->io, fd, LOOP_READ, on_io, e))
		return true;
	free_state(s);
	sys_close(fd);
	t->io.fd = -1;
	return false;
}

void http__transport_offer_h1(struct http_transport *t)
{
	static const uint8_t protocol[] = "\x08http/1.1";
	SSL_set_alpn_protos(state_of(t)->ssl, protocol, sizeof protocol - 1);
}

bool http_transport_open(struct http_transport *t, struct loop *l, int fd, struct http_tls *of, const char *host,
	void (*fn)(struct loop_io *io, uint32_t ready), struct err *e)
{
	if (!of)
		return http__transport_open_plain(t, l, fd, fn, e);
	if (!http__transport_open_tls(t, l, fd, of, host, fn, e))
		return false;
	SSL_set_alpn_protos(state_of(t)->ssl, NULL, 0);  // no protocol of the web
	return true;
}

// ---- what is needed to speak it ----------------------------------------------------------------------------------------------------

// The first error of OpenSSL's queue, in words.
// OpenSSL's words tell of its own functions where a file can't be read, and of a folder that it has no start line.
static const char *reason_of(unsigned long why, const char *file)
{
	struct sys_stat st;
	if (ERR_SYSTEM_ERROR(why))
		return strerror(ERR_GET_REASON(why));
	if (file && sys_look(file, &st) == 0 && st.type == SYS_FILE_FOLDER)
		return strerror(EISDIR);
	if (ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE)
		return "nothing of the kind is in it as PEM";
	return ERR_reason_error_string(why);
}

static bool tls_error(struct err *e, enum err_code code, const char *what, const char *file)
{
	char text[256];
	unsigned long why = ERR_get_error();
	ERR_error_string_n(why, text, sizeof text);
	const char *reason = reason_of(why, file);
	ERR_clear_error();
	return err_set(e, code, "%s%s%s%s: %s", what, file ? " '" : "", file ? file : "", file ? "'" : "", reason ? reason : text);
}

static SSL_CTX *new_context(const SSL_METHOD *method)
{
	SSL_CTX *c = SSL_CTX_new(method);
	if (!c)
		return NULL;
	SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_clear_mode(c, SSL_MODE_AUTO_RETRY);  // records without data: one a call, or who sends them without end holds the loop
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	return c;
}

static bool load_roots(struct tls_set *s, const char *ca_file, struct err *e)
{
	static const uint8_t protocols[] = "\x02h2\x08http/1.1";
	SSL_CTX *c = new_context(TLS_client_method());
	if (!c)
		return err_nomem(e);
	s->contexts[s->n++] = c;
	if (SSL_CTX_set_alpn_protos(c, protocols, sizeof protocols - 1) != 0 || !SSL_CTX_set_default_verify_paths(c))
		return err_nomem(e);
	if (ca_file && !SSL_CTX_load_verify_locations(c, ca_file, NULL)) {
		tls_error(e, ERR_ENV, "no certificates in", ca_file);
		return err_hint(e, "a file of certificates in PEM (-----BEGIN CERTIFICATE-----)");
	}
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	return true;
}

bool http_tls_client_new(const char *ca_file, struct http_tls **ret, struct err *e)
{
	if (!http__openssl_load(e))
		return false;
	struct http_tls *t = mem_zalloc(sizeof *t);
	if (t)
		t->set = new_set();
	bool ok = t && t->set ? load_roots(t->set, ca_file, e) : err_nomem(e);
	ERR_clear_error();  // also of roots that this machine does not have
	if (ok)
		*ret = t;
	else
		http_tls_free(t);
	return ok;
}

// RFC 9113, 9.2.2: of TLS 1.2 only what agrees on a new key each time and authenticates what it encrypts.
static bool is_fit_for_h2(const SSL_CIPHER *c)
{
	int kx = c ? SSL_CIPHER_get_kx_nid(c) : NID_undef;
	return (kx == NID_kx_ecdhe || kx == NID_kx_dhe || kx == NID_kx_any) && SSL_CIPHER_is_aead(c);
}

static int choose_protocol(SSL *ssl, const uint8_t **ret, uint8_t *ret_len, const uint8_t *offered, unsigned len, void *arg)
{
	static const uint8_t ours[] = "\x02h2\x08http/1.1";
	unsigned skip = is_fit_for_h2(SSL_get_pending_cipher(ssl)) ? 0 : 3;
	uint8_t *chosen;
	if (SSL_select_next_proto(&chosen, ret_len, ours + skip, sizeof ours - 1 - skip, offered, len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301, 3.2
	*ret = chosen;
	return SSL_TLSEXT_ERR_OK;
}

// The certificate that the client asks for by name; the first one where none fits.
static int choose_certificate(SSL *ssl, int *alert, void *arg)
{
	const struct tls_set *s = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	for (uint32_t i = 0; name && i < s->n; i++)
		if (X509_check_host(SSL_CTX_get0_certificate(s->contexts[i]), name, 0, 0, NULL) == 1) {
			SSL_set_SSL_CTX(ssl, s->contexts[i]);
			break;
		}
	return SSL_TLSEXT_ERR_OK;
}

static bool load_pair(struct tls_set *s, const struct http_tls_pair *p, struct err *e)
{
	SSL_CTX *c = new_context(TLS_server_method());
	if (!c)
		return err_nomem(e);
	s->contexts[s->n++] = c;
	SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
	SSL_CTX_set_tlsext_servername_callback(c, choose_certificate);
	SSL_CTX_set_tlsext_servername_arg(c, s);
	SSL_CTX_set_session_id_context(c, (const uint8_t *)"tenon", 5);
	if (SSL_CTX_use_certificate_chain_file(c, p->cert) != 1) {
		tls_error(e, ERR_ENV, "no certificate in", p->cert);
		return err_hint(e, "a chain in PEM, the server's own certificate first");
	}
	if (SSL_CTX_use_PrivateKey_file(c, p->key, SSL_FILETYPE_PEM) != 1) {
		tls_error(e, ERR_ENV, "no key for the certificate in", p->key);
		return err_hint(e, "the private key of '%s', in PEM and without a passphrase", p->cert);
	}
	return true;
}

static uint64_t stamp_of(const struct http_tls *t)
{
	uint64_t stamp = 0;
	for (uint32_t i = 0; i < t->n_pairs; i++)
		stamp = stamp * 31 + sys_file_stamp(t->list[i].cert) * 31 + sys_file_stamp(t->list[i].key);
	return stamp;
}

bool http_tls_reload(struct http_tls *t, struct err *e)
{
	struct tls_set *s = new_set();
	bool ok = s || err_nomem(e);
	t->stamp = stamp_of(t);
	for (uint32_t i = 0; ok && i < t->n_pairs; i++)
		ok = load_pair(s, &t->list[i], e);
	ERR_clear_error();
	if (!ok) {
		unref_set(s);
		return false;
	}
	unref_set(replace_newest(t, s));
	return true;
}

bool http_tls_has_changed(struct http_tls *t)
{
	uint64_t stamp = stamp_of(t), before = t->stamp;
	t->stamp = stamp;
	return stamp != before;
}

bool http_tls_server_new(const struct http_tls_pair *pairs, uint32_t n, struct http_tls **ret, struct err *e)
{
	if (n == 0 || n > PAIRS_MAX)
		return err_set(e, ERR_USAGE, "%u certificates; from 1 to %d are possible", n, PAIRS_MAX);
	if (!http__openssl_load(e))
		return false;
	struct http_tls *t = mem_zalloc(sizeof *t);
	if (!t)
		return err_nomem(e);
	memcpy(t->list, pairs, n * sizeof *pairs);
	t->n_pairs = n;
	bool ok = http_tls_reload(t, e);
	if (ok)
		*ret = t;
	else
		http_tls_free(t);
	return ok;
}

void http_tls_free(struct http_tls *t)
{
	if (t)
		unref_set(t->set);
	mem_free(t);
}
