// The JSON schema of tenon.toml, for editors: made of keys.def. In a profile nothing is required and "unset" is a value too.
#include "app_int.h"

static const char *pattern_of(enum app__format f)
{
	switch (f) {
	case APP__FORMAT_name:
	case APP__FORMAT_component:
	case APP__FORMAT_link:
		return "^[a-z][a-z0-9-]{0,62}$";
	case APP__FORMAT_variable:
		return "^[a-z][a-z0-9_]*$";
	case APP__FORMAT_sha256:
		return "^[0-9a-fA-F]{64}$";
	case APP__FORMAT_route:
		return "^/";
	case APP__FORMAT_origin:
		return "^https?://";
	default:
		return NULL;
	}
}

static void put_text_type(struct buf *b, const struct app__key *k)
{
	const char *pattern = k->flags & APP__TEMPLATE ? NULL : pattern_of(k->of);
	buf_put_str(b, "{\"type\":\"string\"");
	if (pattern) {
		buf_put_str(b, ",\"pattern\":");
		buf_put_json_string(b, slice_str(pattern));
	}
	buf_put_byte(b, '}');
}

static void put_quantity_type(struct buf *b, char unit, bool allow_none)
{
	const char *pattern = unit == 't' ? "^[0-9]+([.][0-9]+)?(ns|us|ms|s|m|h)$" : unit == 'b' ? "^[0-9]+([.][0-9]+)?(KiB|MiB|GiB|K|M|G|B)?$"
																							 : "^[0-9]+([.][0-9]+)?%$";
	if (unit == 'n')
		buf_put_str(b, "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":1}");
	else
		buf_printf(b, "{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"%s\"}", pattern);
	buf_put_str(b, allow_none ? ",{\"const\":\"none\"}]}" : "]}");
}

static void put_words(struct buf *b, const char *words)
{
	struct slice rest = slice_str(words);
	for (bool more = true; more;) {
		size_t end = slice_find(rest, '|');
		buf_put_str(b, rest.ptr == (const uint8_t *)words ? "{\"enum\":[" : ",");
		buf_put_json_string(b, slice_sub(rest, 0, end));
		more = end < rest.len;
		rest = slice_sub(rest, end + 1, rest.len);
	}
	buf_put_str(b, "]}");
}

static void put_limits(struct buf *b, enum app__whose whose)
{
	bool any = false;
	buf_put_str(b, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
	for (enum app_limit_kind i = 0; i < APP_LIMITS; i++) {
		if (!app__limit_fits(i, whose))
			continue;
		buf_printf(b, "%s\"%s\":", any ? "," : "", app__limit_row(i)->flag);
		put_quantity_type(b, app__limit_row(i)->unit, true);
		any = true;
	}
	buf_put_str(b, "}}");
}

static const char *table_name(enum app__table table)
{
	static const char *const names[] = {
#define TABLE(table, ...) #table,
#define KEY(...)
#include "keys.def"
	};
	return names[table];
}

static void put_ref(struct buf *b, enum app__table table, bool partial)
{
	buf_printf(b, "{\"$ref\":\"#/definitions/%s%s\"}", table_name(table), partial ? ".profile" : "");
}

static void put_type(struct buf *b, const struct app__key *k, bool partial)
{
	switch ((enum app__type)k->type) {
	case APP__TEXT:
		put_text_type(b, k);
		break;
	case APP__TEXTS:
		buf_put_str(b, k->flags & APP__ONE ? "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":" : "{\"type\":\"array\",\"items\":");
		put_text_type(b, k);
		buf_put_str(b, k->flags & APP__ONE ? "}]}" : "}");
		break;
	case APP__PAIRS:
		buf_put_str(b, "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}");
		break;
	case APP__WORD:
		put_words(b, k->words);
		break;
	case APP__BOOL:
		buf_put_str(b, "{\"type\":\"boolean\"}");
		break;
	case APP__COUNT:
		buf_printf(b, "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":%d}%s]}", k->flags & APP__ZERO ? 0 : 1, k->flags & APP__NONE ? ",{\"const\":\"none\"}" : "");
		break;
	case APP__TIME:
	case APP__SIZE:
	case APP__PERCENT:
		put_quantity_type(b, k->type == APP__TIME ? 't' : k->type == APP__SIZE ? 'b'
																			   : '%',
			k->flags & APP__NONE);
		break;
	case APP__LIMITS_OF:
		put_limits(b, k->of);
		break;
	case APP__TABLE:
		put_ref(b, k->of, partial);
		break;
	case APP__TABLES:
		buf_printf(b, "{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"%s\"},\"additionalProperties\":",
			pattern_of(k->of == APP__variable ? APP__FORMAT_variable : APP__FORMAT_name));
		buf_put_str(b, partial ? "{\"anyOf\":[{\"const\":\"unset\"}," : "");
		put_ref(b, k->of, partial);
		buf_put_str(b, partial ? "]}}" : "}");
		break;
	case APP__ARRAY:
		buf_put_str(b, "{\"type\":\"array\",\"items\":");
		put_ref(b, k->of, partial);
		buf_put_byte(b, '}');
		break;
	case APP__PROFILES:
		buf_put_str(b, "{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[a-z][a-z0-9-]{0,62}$\"},\"additionalProperties\":");
		put_ref(b, APP__root, true);
		buf_put_byte(b, '}');
		break;
	}
}

static void put_property(struct buf *b, const struct app__key *k, bool partial)
{
	buf_put_json_string(b, slice_str(k->name));
	buf_put_str(b, ":{\"description\":");
	buf_put_json_string(b, slice_str(k->help));
	if (*k->fallback) {
		buf_put_str(b, ",\"default\":");
		if (k->type == APP__BOOL || (k->type == APP__COUNT && strcmp(k->fallback, "none") != 0))
			buf_put_str(b, k->fallback);
		else if (k->type == APP__TEXTS)
			buf_printf(b, "[\"%s\"]", k->fallback);
		else
			buf_put_json_string(b, slice_str(k->fallback));
	}
	buf_put_str(b, partial ? ",\"anyOf\":[{\"const\":\"unset\"}," : ",\"allOf\":[");
	put_type(b, k, partial);
	buf_put_str(b, "]}");
}

static void put_table(struct buf *b, enum app__table table, bool partial)
{
	struct app__rows r = app__rows(table);
	bool any = false;
	buf_put_str(b, r.shorthand[0] ? "{\"anyOf\":[{\"type\":\"string\"}," : "");
	buf_put_str(b, "{\"type\":\"object\",\"additionalProperties\":false,\"description\":");
	buf_put_json_string(b, slice_str(r.help));
	buf_put_str(b, ",\"properties\":{");
	for (uint32_t i = 0; i < r.n; i++) {
		if (partial && table == APP__root && (r.keys[i].type == APP__PROFILES || r.keys[i].type == APP__COUNT))
			continue;
		buf_put_str(b, any ? "," : "");
		put_property(b, &r.keys[i], partial);
		any = true;
	}
	buf_put_byte(b, '}');
	any = false;
	for (uint32_t i = 0; !partial && i < r.n; i++)
		if (r.keys[i].flags & APP__REQUIRED) {
			buf_printf(b, "%s\"%s\"", any ? "," : ",\"required\":[", r.keys[i].name);
			any = true;
		}
	buf_put_str(b, any ? "]}" : "}");
	buf_put_str(b, r.shorthand[0] ? "]}" : "");
}

bool app_schema(struct buf *b)
{
	buf_put_str(b, "{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"title\":\"tenon.toml\",\"allOf\":[{\"$ref\":\"#/definitions/root\"}],\"definitions\":{");
	for (int i = 0; i < APP__N_TABLES * 2; i++) {
		bool partial = i >= APP__N_TABLES;
		buf_printf(b, "%s\"%s%s\":", i ? "," : "", table_name(i % APP__N_TABLES), partial ? ".profile" : "");
		put_table(b, i % APP__N_TABLES, partial);
	}
	buf_put_str(b, "}}\n");
	return !b->failed;
}
