// Which sanitizer this is built for (1, else 0 or not defined), for the few places that must work with it.
#ifndef TENON_BASE_SANITIZE_H
#define TENON_BASE_SANITIZE_H

#if defined(__has_feature)
#define SANITIZE_ADDRESS __has_feature(address_sanitizer)
#define SANITIZE_THREAD __has_feature(thread_sanitizer)
#else
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZE_ADDRESS 1
#endif
#if defined(__SANITIZE_THREAD__)
#define SANITIZE_THREAD 1
#endif
#endif

#if SANITIZE_THREAD || SANITIZE_ADDRESS
#define NO_SANITIZER __attribute__((disable_sanitizer_instrumentation))
#else
#define NO_SANITIZER
#endif

#endif
