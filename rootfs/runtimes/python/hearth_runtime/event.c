// SPDX-License-Identifier: Apache-2.0
//
// In C for one reason: each Python function that a forked child runs copies the pages of its code,
// names and constants, and those copies are most of what a short call costs.
#include "event.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

// The texts that every event has, and the attributes of `web`, by number.
enum text {
  kAccountId, kAnonymous, kApiId, kBody, kCookie, kCookies, kDefault, kDomainName, kDomainPrefix,
  kEmpty, kHeaders, kHost, kHttp, kHttp11, kIsBase64Encoded, kMethod, kPath, kProtocol,
  kQueryStringParameters, kRawPath, kRawQueryString, kRequestContext, kRequestId, kRouteKey, kSlash,
  kSourceIp, kStage, kTime, kTimeEpoch, kTwo, kUserAgent, kUserAgentHeader, kVersion, kContentType,
  kTexts
};
static const char* const kTextOf[kTexts] = {
    "accountId", "anonymous", "apiId", "body", "cookie", "cookies", "$default", "domainName",
    "domainPrefix", "", "headers", "host", "http", "HTTP/1.1", "isBase64Encoded", "method", "path",
    "protocol", "queryStringParameters", "rawPath", "rawQueryString", "requestContext", "requestId",
    "routeKey", "/", "sourceIp", "stage", "time", "timeEpoch", "2.0", "userAgent", "user-agent",
    "version", "content-type"};

static PyObject* texts[kTexts];
static PyObject *api_id, *split_cookies, *base64;

int prepare_events(PyObject* function_name, PyObject* web) {
  for (int i = 0; i < kTexts; ++i) {
    if (texts[i] == NULL) texts[i] = PyUnicode_InternFromString(kTextOf[i]);
    if (texts[i] == NULL) return -1;
  }
  Py_INCREF(function_name);
  api_id = function_name;
  split_cookies = PyObject_GetAttrString(web, "cookies");
  base64 = PyObject_GetAttrString(web, "base64");
  return split_cookies && base64 ? 0 : -1;
}

int parse_meta(PyObject* bytes, struct meta* meta) {
  char* text = NULL;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(bytes, &text, &size) != 0) return 0;
  *meta = (struct meta){.pairs = text, .end = text + size};
  const struct {
    const char* name;
    const char** value;
  } known[] = {{"request_id", &meta->request_id}, {"deadline_ms", &meta->deadline_ms},
               {"trigger", &meta->trigger},       {"method", &meta->method},
               {"path", &meta->path},             {"query", &meta->query},
               {"source_ip", &meta->source_ip},   {"protocol", &meta->protocol},
               {"time_ms", &meta->time_ms}};
  for (const char* at = text; at < meta->end;) {
    const char* value = memchr(at, 0, (size_t)(meta->end - at));
    const char* last = value ? memchr(value + 1, 0, (size_t)(meta->end - value - 1)) : NULL;
    if (last == NULL) {
      PyErr_SetString(PyExc_ValueError, "meta is no list of pairs");
      return 0;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
      if (strcmp(at, known[i].name) == 0) *known[i].value = value + 1;
    }
    at = last + 1;
  }
  return 1;
}

// Header values are UTF-8, or Latin-1 as old clients send them.
static PyObject* decode(const char* text) {
  const Py_ssize_t size = (Py_ssize_t)strlen(text);
  PyObject* decoded = PyUnicode_DecodeUTF8(text, size, NULL);
  if (decoded != NULL || !PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) return decoded;
  PyErr_Clear();
  return PyUnicode_DecodeLatin1(text, size, NULL);
}

static PyObject* again(PyObject* object) {
  Py_XINCREF(object);
  return object;
}

static PyObject* decode_or(const char* text, enum text otherwise) {
  return text ? decode(text) : again(texts[otherwise]);
}

// Takes over `value`, which may be NULL: an exception is set then. 0, or -1.
static int put(PyObject* dict, enum text key, PyObject* value) {
  if (value == NULL) return -1;
  const int rc = PyDict_SetItem(dict, texts[key], value);
  Py_DECREF(value);
  return rc;
}

// Sets one pair; a repeated one is joined to the first. Takes over `key` and `value`, which may be
// NULL: an exception is set then. 0, or -1.
static int add(PyObject* dict, PyObject* key, PyObject* value, const char* format) {
  PyObject* before = key && value ? PyDict_GetItemWithError(dict, key) : NULL;
  if (before != NULL) {
    PyObject* joined = PyUnicode_FromFormat(format, before, value);
    Py_DECREF(value);
    value = joined;
  }
  const int rc = key && value && !PyErr_Occurred() ? PyDict_SetItem(dict, key, value) : -1;
  Py_XDECREF(key);
  Py_XDECREF(value);
  return rc;
}

static int add_header(PyObject* headers, const char* name, const char* text) {
  const char* format = strcmp(name, "cookie") == 0 ? "%U; %U" : "%U,%U";
  return add(headers, decode(name), decode(text), format);
}

static PyObject* headers_of(const struct meta* meta) {
  PyObject* headers = PyDict_New();
  for (const char* name = meta->pairs; headers != NULL && name < meta->end;) {
    const char* value = name + strlen(name) + 1;
    if (strncmp(name, "h:", 2) == 0 && add_header(headers, name + 2, value) != 0) {
      Py_CLEAR(headers);
      break;
    }
    name = value + strlen(value) + 1;
  }
  return headers;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A part of a query: '+' is a space, escapes are UTF-8, one that is none stays as it is.
static PyObject* unquote(const char* part, size_t size) {
  char* plain = malloc(size + 1);
  if (plain == NULL) return PyErr_NoMemory();
  size_t used = 0;
  for (size_t i = 0; i < size; ++i) {
    const int high = part[i] == '%' && i + 2 < size ? hex_digit(part[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(part[i + 2]) : -1;
    if (low >= 0) {
      plain[used++] = (char)(high * 16 + low);
      i += 2;
    } else {
      plain[used++] = part[i] == '+' ? ' ' : part[i];
    }
  }
  PyObject* text = PyUnicode_DecodeUTF8(plain, (Py_ssize_t)used, "replace");
  free(plain);
  return text;
}

static PyObject* query_parameters(const char* query) {
  PyObject* parameters = PyDict_New();
  while (parameters != NULL && *query != '\0') {
    const size_t size = strcspn(query, "&");
    const size_t name = strcspn(query, "=&");
    const size_t value = name < size ? name + 1 : size;
    if (size != 0 && add(parameters, unquote(query, name),
                         unquote(query + value, size - value), "%U,%U") != 0) {
      Py_CLEAR(parameters);
    }
    query += size + (query[size] == '&');
  }
  return parameters;
}

// A header's value, borrowed, or the empty text.
static PyObject* header(PyObject* headers, enum text name) {
  PyObject* value = PyDict_GetItemWithError(headers, texts[name]);
  return value ? value : texts[kEmpty];
}

static PyObject* http_part(const struct meta* meta, PyObject* headers) {
  PyObject* http = PyDict_New();
  if (http == NULL) return NULL;
  if (put(http, kMethod, decode_or(meta->method, kEmpty)) == 0 &&
      put(http, kPath, decode_or(meta->path, kSlash)) == 0 &&
      put(http, kProtocol, decode_or(meta->protocol, kHttp11)) == 0 &&
      put(http, kSourceIp, decode_or(meta->source_ip, kEmpty)) == 0 &&
      put(http, kUserAgent, again(header(headers, kUserAgentHeader))) == 0) {
    return http;
  }
  Py_DECREF(http);
  return NULL;
}

static PyObject* time_text(time_t seconds) {
  static const char kMonths[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  struct tm utc;
  if (gmtime_r(&seconds, &utc) == NULL) return PyErr_SetFromErrno(PyExc_OSError);
  return PyUnicode_FromFormat("%02d/%s/%d:%02d:%02d:%02d +0000", utc.tm_mday, kMonths[utc.tm_mon],
                              utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

static PyObject* domain_prefix(PyObject* domain) {
  const Py_ssize_t dot = PyUnicode_FindChar(domain, '.', 0, PyUnicode_GetLength(domain), 1);
  return dot < 0 ? again(domain) : PyUnicode_Substring(domain, 0, dot);
}

static PyObject* request_context(const struct meta* meta, PyObject* headers) {
  PyObject* context = PyDict_New();
  if (context == NULL) return NULL;
  long long time_ms = meta->time_ms ? strtoll(meta->time_ms, NULL, 10) : 0;
  if (time_ms == 0) time_ms = (long long)time(NULL) * 1000;
  PyObject* domain = header(headers, kHost);
  if (put(context, kAccountId, again(texts[kAnonymous])) == 0 &&
      put(context, kApiId, again(api_id)) == 0 &&
      put(context, kDomainName, again(domain)) == 0 &&
      put(context, kDomainPrefix, domain_prefix(domain)) == 0 &&
      put(context, kHttp, http_part(meta, headers)) == 0 &&
      put(context, kRequestId, decode_or(meta->request_id, kEmpty)) == 0 &&
      put(context, kRouteKey, again(texts[kDefault])) == 0 &&
      put(context, kStage, again(texts[kDefault])) == 0 &&
      put(context, kTime, time_text((time_t)(time_ms / 1000))) == 0 &&
      put(context, kTimeEpoch, PyLong_FromLongLong(time_ms)) == 0) {
    return context;
  }
  Py_DECREF(context);
  return NULL;
}

static int is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Media types whose body is text: text/*, and JSON, XML, JavaScript and forms by their own names or
// as a suffix (`application/problem+json`).
static int is_text_type(const char* type) {
  static const char* const kWords[] = {"json", "ndjson", "xml", "javascript",
                                       "x-www-form-urlencoded"};
  if (strncasecmp(type, "text/", 5) == 0) return 1;
  const char* at = type;
  while (is_letter(*at)) ++at;
  if (at == type || *at != '/') return 0;
  const char* sub = at + 1;
  size_t size = strcspn(sub, ";");
  while (size > 0 && is_space(sub[size - 1])) --size;
  for (size_t i = 0; i < sizeof kWords / sizeof *kWords; ++i) {
    const size_t word = strlen(kWords[i]);
    if (size < word || strncasecmp(sub + size - word, kWords[i], word) != 0) continue;
    if (size == word || strchr("+.-", sub[size - word - 1]) != NULL) return 1;
  }
  return 0;
}

// Text, or base64 of what is not said to be text or is none. 0, or -1.
static int put_body(PyObject* event, PyObject* headers, PyObject* body) {
  PyObject* type = PyUnicode_AsUTF8String(header(headers, kContentType));
  if (type == NULL) return -1;
  const int said_text = is_text_type(PyBytes_AsString(type));
  Py_DECREF(type);
  PyObject* text = NULL;
  if (said_text) {
    text = PyUnicode_DecodeUTF8(PyBytes_AsString(body), PyBytes_Size(body), NULL);
    if (text == NULL && !PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) return -1;
    PyErr_Clear();
  }
  if (text != NULL) return put(event, kBody, text);
  if (put(event, kBody, PyObject_CallFunctionObjArgs(base64, body, NULL)) != 0) return -1;
  return put(event, kIsBase64Encoded, again(Py_True));
}

static int put_optional(PyObject* event, const struct meta* meta, PyObject* headers,
                        PyObject* body) {
  PyObject* cookie = PyDict_GetItemWithError(headers, texts[kCookie]);
  if (cookie != NULL &&
      put(event, kCookies, PyObject_CallFunctionObjArgs(split_cookies, cookie, NULL)) != 0) {
    return -1;
  }
  if (meta->query != NULL && *meta->query != '\0' &&
      put(event, kQueryStringParameters, query_parameters(meta->query)) != 0) {
    return -1;
  }
  return PyBytes_Size(body) == 0 ? 0 : put_body(event, headers, body);
}

PyObject* http_event(const struct meta* meta, PyObject* body) {
  PyObject* event = PyDict_New();
  PyObject* headers = event ? headers_of(meta) : NULL;
  if (headers != NULL && put(event, kVersion, again(texts[kTwo])) == 0 &&
      put(event, kRouteKey, again(texts[kDefault])) == 0 &&
      put(event, kRawPath, decode_or(meta->path, kSlash)) == 0 &&
      put(event, kRawQueryString, decode_or(meta->query, kEmpty)) == 0 &&
      put(event, kHeaders, again(headers)) == 0 &&
      put(event, kRequestContext, request_context(meta, headers)) == 0 &&
      put(event, kIsBase64Encoded, again(Py_False)) == 0 &&
      put_optional(event, meta, headers, body) == 0) {
    Py_DECREF(headers);
    return event;
  }
  Py_XDECREF(headers);
  Py_XDECREF(event);
  return NULL;
}
