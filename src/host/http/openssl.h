// OpenSSL's functions, loaded when TLS is first wanted: linked, they were a third of what a process without TLS does until it runs (docs/http.md).
#ifndef TENON_HTTP_OPENSSL_H
#define TENON_HTTP_OPENSSL_H

#include "base/base.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Those that are called here, also by macros of its headers. What is missing does not link.
#define OPENSSL_FUNCTIONS(X)              \
	X(BIO_clear_flags)                    \
	X(BIO_free)                           \
	X(BIO_get_data)                       \
	X(BIO_get_new_index)                  \
	X(BIO_meth_free)                      \
	X(BIO_meth_new)                       \
	X(BIO_meth_set_ctrl)                  \
	X(BIO_meth_set_read)                  \
	X(BIO_meth_set_write)                 \
	X(BIO_new)                            \
	X(BIO_set_data)                       \
	X(BIO_set_flags)                      \
	X(BIO_set_init)                       \
	X(ERR_clear_error)                    \
	X(ERR_error_string_n)                 \
	X(ERR_get_error)                      \
	X(ERR_peek_error)                     \
	X(ERR_reason_error_string)            \
	X(SSL_CIPHER_get_kx_nid)              \
	X(SSL_CIPHER_is_aead)                 \
	X(SSL_CTX_callback_ctrl)              \
	X(SSL_CTX_ctrl)                       \
	X(SSL_CTX_free)                       \
	X(SSL_CTX_get0_certificate)           \
	X(SSL_CTX_load_verify_locations)      \
	X(SSL_CTX_new)                        \
	X(SSL_CTX_set_alpn_protos)            \
	X(SSL_CTX_set_alpn_select_cb)         \
	X(SSL_CTX_set_default_verify_paths)   \
	X(SSL_CTX_set_options)                \
	X(SSL_CTX_set_session_id_context)     \
	X(SSL_CTX_set_verify)                 \
	X(SSL_CTX_use_PrivateKey_file)        \
	X(SSL_CTX_use_certificate_chain_file) \
	X(SSL_ctrl)                           \
	X(SSL_free)                           \
	X(SSL_get0_alpn_selected)             \
	X(SSL_get0_param)                     \
	X(SSL_get_error)                      \
	X(SSL_get_pending_cipher)             \
	X(SSL_get_servername)                 \
	X(SSL_has_pending)                    \
	X(SSL_is_init_finished)               \
	X(SSL_new)                            \
	X(SSL_read_ex)                        \
	X(SSL_select_next_proto)              \
	X(SSL_set_SSL_CTX)                    \
	X(SSL_set_accept_state)               \
	X(SSL_set_alpn_protos)                \
	X(SSL_set_bio)                        \
	X(SSL_set_connect_state)              \
	X(SSL_shutdown)                       \
	X(SSL_write_ex)                       \
	X(TLS_client_method)                  \
	X(TLS_server_method)                  \
	X(X509_VERIFY_PARAM_set1_host)        \
	X(X509_VERIFY_PARAM_set1_ip)          \
	X(X509_VERIFY_PARAM_set_hostflags)    \
	X(X509_check_host)                    \
	X(X509_get_default_cert_dir)          \
	X(X509_get_default_cert_dir_env)      \
	X(X509_get_default_cert_file)         \
	X(X509_get_default_cert_file_env)

struct http__openssl {
#define FUNCTION(name) __typeof__(name) *name;
	OPENSSL_FUNCTIONS(FUNCTION)
#undef FUNCTION
};
extern struct http__openssl http__openssl;

// Call it before any of them; again it does nothing. Any thread. false: the library is not on this machine.
NODISCARD bool http__openssl_load(struct err *e);

#ifndef OPENSSL_BY_NAME
#define BIO_clear_flags http__openssl.BIO_clear_flags
#define BIO_free http__openssl.BIO_free
#define BIO_get_data http__openssl.BIO_get_data
#define BIO_get_new_index http__openssl.BIO_get_new_index
#define BIO_meth_free http__openssl.BIO_meth_free
#define BIO_meth_new http__openssl.BIO_meth_new
#define BIO_meth_set_ctrl http__openssl.BIO_meth_set_ctrl
#define BIO_meth_set_read http__openssl.BIO_meth_set_read
#define BIO_meth_set_write http__openssl.BIO_meth_set_write
#define BIO_new http__openssl.BIO_new
#define BIO_set_data http__openssl.BIO_set_data
#define BIO_set_flags http__openssl.BIO_set_flags
#define BIO_set_init http__openssl.BIO_set_init
#define ERR_clear_error http__openssl.ERR_clear_error
#define ERR_error_string_n http__openssl.ERR_error_string_n
#define ERR_get_error http__openssl.ERR_get_error
#define ERR_peek_error http__openssl.ERR_peek_error
#define ERR_reason_error_string http__openssl.ERR_reason_error_string
#define SSL_CIPHER_get_kx_nid http__openssl.SSL_CIPHER_get_kx_nid
#define SSL_CIPHER_is_aead http__openssl.SSL_CIPHER_is_aead
#define SSL_CTX_callback_ctrl http__openssl.SSL_CTX_callback_ctrl
#define SSL_CTX_ctrl http__openssl.SSL_CTX_ctrl
#define SSL_CTX_free http__openssl.SSL_CTX_free
#define SSL_CTX_get0_certificate http__openssl.SSL_CTX_get0_certificate
#define SSL_CTX_load_verify_locations http__openssl.SSL_CTX_load_verify_locations
#define SSL_CTX_new http__openssl.SSL_CTX_new
#define SSL_CTX_set_alpn_protos http__openssl.SSL_CTX_set_alpn_protos
#define SSL_CTX_set_alpn_select_cb http__openssl.SSL_CTX_set_alpn_select_cb
#define SSL_CTX_set_default_verify_paths http__openssl.SSL_CTX_set_default_verify_paths
#define SSL_CTX_set_options http__openssl.SSL_CTX_set_options
#define SSL_CTX_set_session_id_context http__openssl.SSL_CTX_set_session_id_context
#define SSL_CTX_set_verify http__openssl.SSL_CTX_set_verify
#define SSL_CTX_use_PrivateKey_file http__openssl.SSL_CTX_use_PrivateKey_file
#define SSL_CTX_use_certificate_chain_file http__openssl.SSL_CTX_use_certificate_chain_file
#define SSL_ctrl http__openssl.SSL_ctrl
#define SSL_free http__openssl.SSL_free
#define SSL_get0_alpn_selected http__openssl.SSL_get0_alpn_selected
#define SSL_get0_param http__openssl.SSL_get0_param
#define SSL_get_error http__openssl.SSL_get_error
#define SSL_get_pending_cipher http__openssl.SSL_get_pending_cipher
#define SSL_get_servername http__openssl.SSL_get_servername
#define SSL_has_pending http__openssl.SSL_has_pending
#define SSL_is_init_finished http__openssl.SSL_is_init_finished
#define SSL_new http__openssl.SSL_new
#define SSL_read_ex http__openssl.SSL_read_ex
#define SSL_select_next_proto http__openssl.SSL_select_next_proto
#define SSL_set_SSL_CTX http__openssl.SSL_set_SSL_CTX
#define SSL_set_accept_state http__openssl.SSL_set_accept_state
#define SSL_set_alpn_protos http__openssl.SSL_set_alpn_protos
#define SSL_set_bio http__openssl.SSL_set_bio
#define SSL_set_connect_state http__openssl.SSL_set_connect_state
#define SSL_shutdown http__openssl.SSL_shutdown
#define SSL_write_ex http__openssl.SSL_write_ex
#define TLS_client_method http__openssl.TLS_client_method
#define TLS_server_method http__openssl.TLS_server_method
#define X509_VERIFY_PARAM_set1_host http__openssl.X509_VERIFY_PARAM_set1_host
#define X509_VERIFY_PARAM_set1_ip http__openssl.X509_VERIFY_PARAM_set1_ip
#define X509_VERIFY_PARAM_set_hostflags http__openssl.X509_VERIFY_PARAM_set_hostflags
#define X509_check_host http__openssl.X509_check_host
#define X509_get_default_cert_dir http__openssl.X509_get_default_cert_dir
#define X509_get_default_cert_dir_env http__openssl.X509_get_default_cert_dir_env
#define X509_get_default_cert_file http__openssl.X509_get_default_cert_file
#define X509_get_default_cert_file_env http__openssl.X509_get_default_cert_file_env
#endif

#endif
