// Symbols of both of Rust's schemes; those with a hash in them are from the tests of rustc-demangle.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/base.h"

static void expect(const char *name, const char *want)
{
	struct buf b = {0};
	demangle(&b, slice_str(name));
	assert_true(buf_put_byte(&b, 0));
	assert_string_equal((char *)b.ptr, want);
	buf_release(&b);
}

static void legacy_names_lose_their_hash(void **state)
{
	expect("_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "core::fmt::Formatter::write_str");
	expect("_ZN17h0123456789abcdefE", "h0123456789abcdef");  // nothing but one
	expect("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE", "<Test + 'static as foo::Bar<Test>>::bar");
}

static void v0_names_are_paths_with_their_types(void **state)
{
	expect("_RNvC6_123foo3bar", "123foo::bar");
	expect("_RINtC8arrayvec8ArrayVechKj7b_E", "arrayvec::ArrayVec::<u8, 123>");
	expect("_RMCs4fqI2P2rA04_13const_genericINtB0_8UnsignedKhb_E", "<const_generic::Unsigned<11>>");
	expect("_RNCINkXs25_NgCsbmNqQUJIY6D_4core5sliceINyB9_4IterhENuNgNoBb_4iter8iterator8Iterator9rpositionNCNgNpB9_6memchr7memrchrs_0E0Bb_",
		"<core::slice::Iter<u8> as core::iter::iterator::Iterator>::rposition::<core::slice::memchr::memrchr::{closure#1}>::{closure#0}");
	expect("_RINbNbCskIICzLVDPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_ECs1iopQbuBiw2_3std",
		"alloc::alloc::box_free::<dyn alloc::boxed::FnBox<(), Output = ()>>");
	expect("_RNvC1a1b.llvm.1234", "a::b");
}

static void names_of_cxx_are_written_without_their_parameters(void **state)
{
	expect("_Z3foov", "foo");
	expect("_ZN4test1a2bcEi", "test::a::bc");
	expect("_ZNK3app6Server6handleERKNS_7RequestE", "app::Server::handle");
	expect("_ZN3app6ServerC2EiPKc", "app::Server::Server");
	expect("_ZN3app6ServerD0Ev", "app::Server::~Server");
	expect("_ZN3app4SlotIiED1Ev", "app::Slot<int>::~Slot");
	expect("_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int>>::push_back");
	expect("_ZNSt3__212basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE6appendEPKc",
		"std::__2::basic_string<char, std::__2::char_traits<char>, std::__2::allocator<char>>::append");
	expect("_ZplRK1AS1_", "operator+");
	expect("_ZN1AcvbEv", "A::operator bool");
	expect("_ZN1AixEm", "A::operator[]");
	expect("_ZN12_GLOBAL__N_14mainEv", "(anonymous namespace)::main");
	expect("_ZZ4mainENK3$_0clEv", "main::$_0::operator()");
	expect("_ZZN1a1fEiENKUlvE_clEv", "a::f::{lambda#1}::operator()");
	expect("_ZZ1fvE1x_0", "f::x");
	expect("_Z3getILi3ELb1EEvv", "get<3, true>");
	expect("_Z4callIPFiiRKcEEvT_", "call<int (*)(int, char const&)>");
	expect("_Z4callIA3_iEvv", "call<int [3]>");
	expect("_Z4callIM1AFvvEEvv", "call<void (A::*)()>");
	expect("_ZTV1A", "vtable for A");
	expect("_ZThn16_N1A1fEv", "thunk to A::f");
	expect("_ZN1fIJicEE1gEv", "f<int, char>::g");
	expect("_ZN1a1bB5cxx11Ev", "a::b");
	expect("_ZStlsISt11char_traitsIcEERSt13basic_ostreamIcT_ES5_PKc", "std::operator<< <std::char_traits<char>>");
}

static void what_is_no_whole_name_stays_as_it_is(void **state)
{
	static const char *const names[] = {"", "main", "func[12]", "_R", "_RN", "_RNvC6_123foo", "_RNvC99999999999999999999a1b", "_ZN", "_ZNE", "_RB_", "_RNvB_1a",
		"_RIC1aBB_E", "__rust_alloc", "_RNvC1a1b!", "a b<c>::d"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		expect(names[i], names[i]);
}

static void put_backref(struct buf *b, size_t to)  // base 62, one less than the number, "_" behind it
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	buf_put_byte(b, 'B');
	if (to > 62)
		buf_put_byte(b, (uint8_t)digits[(to - 1) / 62]);
	buf_put_byte(b, (uint8_t)digits[(to - 1) % 62]);
	buf_put_byte(b, '_');
}

// Pairs of the pair before, thirty times: 2^30 parts.
static void a_name_of_exponential_length_is_given_up(void **state)
{
	struct buf b = {0};
	buf_put_str(&b, "_RIC1a");
	size_t last = b.len - 2;
	buf_put_str(&b, "ThhE");
	for (int i = 0; i < 30; i++) {
		size_t here = b.len - 2;
		buf_put_byte(&b, 'T');
		put_backref(&b, last);
		put_backref(&b, last);
		buf_put_byte(&b, 'E');
		last = here;
		if (i == 0) {
			struct buf whole = {0};
			buf_put_slice(&whole, buf_view(&b));
			buf_put(&whole, "E", 2);
			expect((char *)whole.ptr, "a::<(u8, u8), ((u8, u8), (u8, u8))>");
			buf_release(&whole);
		}
	}
	buf_put(&b, "E", 2);
	expect((char *)b.ptr, (char *)b.ptr);
	buf_clear(&b);
	buf_put_str(&b, "_RIC1a");
	for (int i = 0; i < 600; i++)
		buf_put_byte(&b, 'R');
	buf_put_byte(&b, 0);
	expect((char *)b.ptr, (char *)b.ptr);
	buf_release(&b);
}

// A pair of the pair before, thirty times.
static void a_name_of_cxx_of_exponential_length_is_given_up(void **state)
{
	struct buf b = {0};
	buf_put_str(&b, "_Z1fI1a1pIS0_S0_E");  // S_ is f, S0_ a, S1_ p, S2_ the pair
	for (int i = 0; i < 30; i++)
		buf_printf(&b, "S1_IS%c_S%c_E", "23456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i], "23456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i]);
	buf_put(&b, "Evv", 4);
	expect((char *)b.ptr, (char *)b.ptr);
	buf_clear(&b);
	buf_put_str(&b, "_Z1fI");
	for (int i = 0; i < 600; i++)
		buf_put_byte(&b, 'P');
	buf_put(&b, "iEvv", 5);
	expect((char *)b.ptr, (char *)b.ptr);
	buf_release(&b);
}

static void every_cut_and_every_changed_byte_ends(void **state)
{
	static const char *const wholes[] = {"_RNCINkXs25_NgCsbmNqQUJIY6D_4core5sliceINyB9_4IterhENuNgNoBb_4iter8iterator8Iterator9rpositionNCNgNpB9_6memchr7memrchrs_0E0Bb_",
		"_ZNSt3__212basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE6appendEPKc", "_ZZN1a1fIM1APFiiRA3_KcEEEiENKUlvE_clEv"};
	for (size_t w = 0; w < ARRAY_LEN(wholes); w++)
		for (size_t i = 0; i < strlen(wholes[w]); i++)
			for (unsigned c = 0; c < 128; c += 3) {
				char name[200];
				struct buf b = {0};
				memcpy(name, wholes[w], strlen(wholes[w]) + 1);
				name[i] = (char)c;
				demangle(&b, slice_str(name));
				buf_clear(&b);
				demangle(&b, slice_of(wholes[w], i));
				assert_true(b.len <= 2 * DEMANGLE_MAX);
				buf_release(&b);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legacy_names_lose_their_hash),
		cmocka_unit_test(v0_names_are_paths_with_their_types),
		cmocka_unit_test(names_of_cxx_are_written_without_their_parameters),
		cmocka_unit_test(what_is_no_whole_name_stays_as_it_is),
		cmocka_unit_test(a_name_of_exponential_length_is_given_up),
		cmocka_unit_test(a_name_of_cxx_of_exponential_length_is_given_up),
		cmocka_unit_test(every_cut_and_every_changed_byte_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
