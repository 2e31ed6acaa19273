/* text.c: template-text rules, strict and clean.
 *
 * One table sorts code points by what they do to a parameter; both modes walk the text once and ask
 * the same two questions: of what kind is this character, and is it in its place. So what clean
 * leaves, check accepts. Clean takes runs of blanks back out of the output when they turn out too
 * long, and shortens in a second walk, over the output, because only then the length is known.
 *
 * Pure: no state, any thread. Unknown code points count as visible: better an odd sign than a lost
 * letter. It knows nothing of normalisation forms, and of grapheme clusters only what a cut needs.
 */
#include "text.h"

#include <string.h>

#include "utf8.h"

#define ELLIPSIS       "\xE2\x80\xA6"
#define BLACK_FLAG     0x1F3F4 /* the only base of a tag sequence: flags of regions */
#define FIRST_JOINING  0x0590  /* no script below (Latin, Greek, Cyrillic) uses joiners */
#define MAX_CLUSTER    16      /* code points that a cut gives up to keep a sequence whole */
#define IS_REGIONAL(c) ((c) >= 0x1F1E6 && (c) <= 0x1F1FF) /* letters that pair up to flags */

enum kind {
  VISIBLE,
  BLANK,
  BREAK,
  TAB,
  MARK,     /* invisible: dropped or refused wherever it stands */
  JOINER,   /* invisible, but see joiner_fits */
  SELECTOR, /* invisible: changes the look of the character before */
  TAG,      /* invisible: spells the region of a flag */
  EXTEND    /* visible: accents, vowel signs, skin tones; belongs to the character before */
};

struct range {
  uint32_t first, last;
  enum kind kind;
};

/* Sorted. The EXTEND rows are blocks rather than exact properties: they only steer where to cut. */
static const struct range ranges[] = {
    {0x0000, 0x0008, MARK},     {0x0009, 0x0009, TAB},        {0x000A, 0x000D, BREAK},
    {0x000E, 0x001F, MARK},     {0x0020, 0x0020, BLANK},      {0x007F, 0x0084, MARK},
    {0x0085, 0x0085, BREAK},    {0x0086, 0x009F, MARK},       {0x00A0, 0x00A0, BLANK},
    {0x00AD, 0x00AD, MARK},     {0x0300, 0x034E, EXTEND},     {0x034F, 0x034F, SELECTOR},
    {0x0350, 0x036F, EXTEND},   {0x0483, 0x0489, EXTEND},     {0x0591, 0x05BD, EXTEND},
    {0x05BF, 0x05BF, EXTEND},   {0x05C1, 0x05C7, EXTEND},     {0x0610, 0x061A, EXTEND},
    {0x061C, 0x061C, MARK},     {0x064B, 0x065F, EXTEND},     {0x0670, 0x0670, EXTEND},
    {0x06D6, 0x06DC, EXTEND},   {0x06DF, 0x06E4, EXTEND},     {0x06E7, 0x06E8, EXTEND},
    {0x06EA, 0x06ED, EXTEND},   {0x0711, 0x0711, EXTEND},     {0x0730, 0x074A, EXTEND},
    {0x07A6, 0x07B0, EXTEND},   {0x08D3, 0x08E1, EXTEND},     {0x08E3, 0x0903, EXTEND},
    {0x093A, 0x093C, EXTEND},   {0x093E, 0x094F, EXTEND},     {0x0951, 0x0957, EXTEND},
    {0x0962, 0x0963, EXTEND},   {0x0981, 0x0983, EXTEND},     {0x09BC, 0x09BC, EXTEND},
    {0x09BE, 0x09CD, EXTEND},   {0x09D7, 0x09D7, EXTEND},     {0x0A01, 0x0A03, EXTEND},
    {0x0A3C, 0x0A51, EXTEND},   {0x0A70, 0x0A71, EXTEND},     {0x0A81, 0x0A83, EXTEND},
    {0x0ABC, 0x0ABC, EXTEND},   {0x0ABE, 0x0ACD, EXTEND},     {0x0B01, 0x0B03, EXTEND},
    {0x0B3C, 0x0B3C, EXTEND},   {0x0B3E, 0x0B57, EXTEND},     {0x0B82, 0x0B82, EXTEND},
    {0x0BBE, 0x0BCD, EXTEND},   {0x0C00, 0x0C04, EXTEND},     {0x0C3C, 0x0C3C, EXTEND},
    {0x0C3E, 0x0C56, EXTEND},   {0x0C81, 0x0C83, EXTEND},     {0x0CBC, 0x0CBC, EXTEND},
    {0x0CBE, 0x0CD6, EXTEND},   {0x0D00, 0x0D03, EXTEND},     {0x0D3B, 0x0D3C, EXTEND},
    {0x0D3E, 0x0D4D, EXTEND},   {0x0D57, 0x0D57, EXTEND},     {0x0D81, 0x0D83, EXTEND},
    {0x0DCA, 0x0DDF, EXTEND},   {0x0E31, 0x0E31, EXTEND},     {0x0E34, 0x0E3A, EXTEND},
    {0x0E47, 0x0E4E, EXTEND},   {0x0EB1, 0x0EB1, EXTEND},     {0x0EB4, 0x0EBC, EXTEND},
    {0x0EC8, 0x0ECE, EXTEND},   {0x0F71, 0x0F84, EXTEND},     {0x0F8D, 0x0FBC, EXTEND},
    {0x102B, 0x103E, EXTEND},   {0x115F, 0x1160, BLANK},      {0x1161, 0x11FF, EXTEND},
    {0x1680, 0x1680, BLANK},    {0x17B4, 0x17B5, SELECTOR},   {0x17B6, 0x17D3, EXTEND},
    {0x180B, 0x180D, SELECTOR}, {0x180E, 0x180E, JOINER},     {0x180F, 0x180F, SELECTOR},
    {0x1AB0, 0x1AFF, EXTEND},   {0x1B34, 0x1B44, EXTEND},     {0x1DC0, 0x1DFF, EXTEND},
    {0x2000, 0x200A, BLANK},    {0x200B, 0x200B, MARK},       {0x200C, 0x200D, JOINER},
    {0x200E, 0x200F, MARK},     {0x2028, 0x2029, BREAK},      {0x202A, 0x202E, MARK},
    {0x202F, 0x202F, BLANK},    {0x205F, 0x205F, BLANK},      {0x2060, 0x206F, MARK},
    {0x20D0, 0x20F0, EXTEND},   {0x2800, 0x2800, BLANK},      {0x3000, 0x3000, BLANK},
    {0x302A, 0x302F, EXTEND},   {0x3099, 0x309A, EXTEND},     {0x3164, 0x3164, BLANK},
    {0xFDD0, 0xFDEF, MARK},     {0xFE00, 0xFE0F, SELECTOR},   {0xFE20, 0xFE2F, EXTEND},
    {0xFEFF, 0xFEFF, MARK},     {0xFFA0, 0xFFA0, BLANK},      {0xFFF0, 0xFFFB, MARK},
    {0x1BCA0, 0x1BCA3, MARK},   {0x1D165, 0x1D172, EXTEND},   {0x1D173, 0x1D17A, MARK},
    {0x1F3FB, 0x1F3FF, EXTEND}, {0xE0000, 0xE001F, MARK},     {0xE0020, 0xE007F, TAG},
    {0xE0080, 0xE00FF, MARK},   {0xE0100, 0xE01EF, SELECTOR}, {0xE01F0, 0xE0FFF, MARK},
};

static enum kind kind_of(uint32_t c) {
  if (c > 0x20 && c < 0x7F)
    return VISIBLE;
  if ((c & 0xFFFE) == 0xFFFE)
    return MARK; /* the two noncharacters at the end of each plane */
  size_t low = 0, high = sizeof ranges / sizeof *ranges;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (c > ranges[middle].last)
      low = middle + 1;
    else if (c < ranges[middle].first)
      high = middle;
    else
      return ranges[middle].kind;
  }
  return VISIBLE;
}

/* ZWJ and ZWNJ shape Arabic, Persian and Indic text and tie emoji together. Elsewhere they only
 * hide. Older Malayalam and Sinhala spelling ends words with one. */
static bool joiner_fits(uint32_t before, const char *after, size_t left) {
  uint32_t c;
  enum kind kind = kind_of(before);
  if (before < FIRST_JOINING || (kind != VISIBLE && kind != EXTEND && kind != SELECTOR))
    return false;
  if (before >= 0x0900 && before <= 0x0DFF)
    return true;
  if (left == 0 || om_utf8_decode(after, left, &c) == 0)
    return false;
  kind = kind_of(c);
  return c >= FIRST_JOINING && !(c >= 0x2000 && c <= 0x206F) && (kind == VISIBLE || kind == EXTEND);
}

/* Whether a character that needs the right neighbours has them. before: the character that it
 * follows in the text as it will be sent, 0 at the start; after: left bytes that come next. */
static bool fits(enum kind kind, uint32_t before, const char *after, size_t left) {
  enum kind previous = before ? kind_of(before) : MARK;
  switch (kind) {
  case MARK:
    return false;
  case JOINER:
    return joiner_fits(before, after, left);
  case SELECTOR:
    return previous == VISIBLE || previous == EXTEND;
  case TAG:
    return before == BLACK_FLAG || previous == TAG;
  default:
    return true;
  }
}

/* Whether a character shows, so that a text with it is not empty. */
static bool shows(enum kind kind) {
  return kind == VISIBLE || kind == EXTEND;
}

bool om_text_utf8(const char *text, size_t len, size_t *chars) {
  size_t at = 0, count = 0, used = 1;
  uint32_t c;
  while (at < len && used > 0) {
    used = om_utf8_decode(text + at, len - at, &c);
    at += used;
    count += used > 0;
  }
  if (chars)
    *chars = count;
  return at == len;
}

enum om_text_fault om_text_check(const char *text, size_t len, size_t max_chars) {
  enum om_text_fault fault = OM_TEXT_OK;
  size_t blanks = 0, chars = 0, used;
  uint32_t c, before = 0;
  bool seen = false;
  for (size_t at = 0; at < len; at += used, chars++, before = c) {
    c = (unsigned char)text[at];
    used = 1;
    if (c > 0x20 && c < 0x7F) { /* most of most texts: nothing to look up */
      blanks = 0;
      seen = true;
      continue;
    }
    used = om_utf8_decode(text + at, len - at, &c);
    if (used == 0)
      return OM_TEXT_UTF8;
    enum kind kind = kind_of(c);
    blanks = kind == BLANK ? blanks + 1 : 0;
    seen = seen || shows(kind);
    if (fault != OM_TEXT_OK)
      continue;
    if (kind == BREAK)
      fault = OM_TEXT_NEWLINE;
    else if (kind == TAB)
      fault = OM_TEXT_TAB;
    else if (blanks > OM_TEXT_MAX_BLANKS)
      fault = OM_TEXT_BLANKS;
    else if (!fits(kind, before, text + at + used, len - at - used))
      fault = OM_TEXT_CONTROL;
  }
  if (!seen)
    return OM_TEXT_EMPTY;
  if (fault == OM_TEXT_OK && max_chars > 0 && chars > max_chars)
    fault = OM_TEXT_LONG;
  return fault;
}

/* What clean has written so far, and the run of blanks that may still be taken back. */
struct writer {
  char *out;
  size_t len, chars;
  uint32_t last;       /* the last character written, 0 at the start */
  size_t run, run_at;  /* blanks and breaks in the run; bytes before it */
  unsigned run_change; /* OM_TEXT_JOINED_… when it had to become one blank */
  unsigned changes;
};

static void put(struct writer *w, const char *bytes, size_t count, uint32_t c) {
  memcpy(w->out + w->len, bytes, count);
  w->len += count;
  w->chars++;
  w->last = c;
}

/* One more blank, line break or tab. At the start nothing is written; a run that holds a line break
 * or grows too long is taken back and becomes one blank. */
static void put_blank(struct writer *w, const char *bytes, size_t count, uint32_t c,
                      enum kind kind) {
  if (w->len == 0) {
    w->changes |= OM_TEXT_TRIMMED;
    return;
  }
  if (w->run == 0)
    w->run_at = w->len;
  w->run++;
  unsigned change = kind != BLANK                 ? OM_TEXT_JOINED_LINES
                    : w->run > OM_TEXT_MAX_BLANKS ? OM_TEXT_JOINED_BLANKS
                                                  : 0;
  if (w->run_change == 0 && change == 0) {
    put(w, bytes, count, c);
  } else if (w->run_change == 0) {
    w->chars -= w->run - 1;
    w->len = w->run_at;
    put(w, " ", 1, ' ');
  }
  if (w->run_change == 0 || change == OM_TEXT_JOINED_LINES)
    w->run_change = change;
}

/* The run of blanks, if any, is over. */
static void end_run(struct writer *w, bool at_end) {
  if (at_end && w->run > 0) {
    w->chars -= w->run_change ? 1 : w->run;
    w->len = w->run_at;
    w->changes |= OM_TEXT_TRIMMED;
  } else {
    w->changes |= w->run_change;
  }
  w->run = 0;
  w->run_change = 0;
}

/* Whether a cut between two characters leaves both whole. */
static bool divides(uint32_t before, uint32_t after) {
  enum kind kind = kind_of(after);
  if (kind == EXTEND || kind == JOINER || kind == SELECTOR || kind == TAG)
    return false;
  return kind_of(before) != JOINER && !(IS_REGIONAL(before) && IS_REGIONAL(after));
}

/* Cuts out, len clean bytes of more than max_chars code points, and ends it in an ellipsis that
 * counts as one of them. Returns the new length. */
static size_t shorten(char *out, size_t len, size_t max_chars) {
  size_t at = 0, chars = 0, cut = 0, cut_chars = 0;
  size_t filled = 0; /* bytes up to the last character that may stand before the ellipsis */
  size_t cut_filled = 0;
  uint32_t c = 0, before = 0;
  for (; at < len; chars++, before = c) {
    size_t used = om_utf8_decode(out + at, len - at, &c);
    if (used == 0)
      break; /* never: the bytes were checked on their way in */
    if (chars == 0 || divides(before, c)) {
      cut = at;
      cut_chars = chars;
      cut_filled = filled;
    }
    if (chars + 1 == max_chars)
      break;
    at += used;
    enum kind kind = kind_of(c);
    if (kind != BLANK && kind != JOINER)
      filled = at;
  }
  size_t end = max_chars - 1 - cut_chars <= MAX_CLUSTER && cut > 0 ? cut_filled : filled;
  memcpy(out + end, ELLIPSIS, OM_TEXT_ELLIPSIS_BYTES);
  return end + OM_TEXT_ELLIPSIS_BYTES;
}

enum om_text_fault om_text_clean(const char *text, size_t len, size_t max_chars, char *out,
                                 size_t *out_len, unsigned *changes) {
  struct writer w = {.out = out};
  size_t used;
  uint32_t c;
  bool seen = false;
  *out_len = 0;
  *changes = 0;
  for (size_t at = 0; at < len; at += used) {
    used = om_utf8_decode(text + at, len - at, &c);
    if (used == 0)
      return OM_TEXT_UTF8;
    enum kind kind = kind_of(c);
    if (kind == BLANK || kind == BREAK || kind == TAB) {
      put_blank(&w, text + at, used, c, kind);
    } else if (!fits(kind, w.last, text + at + used, len - at - used)) {
      w.changes |= OM_TEXT_DROPPED_MARKS;
    } else {
      end_run(&w, false);
      put(&w, text + at, used, c);
      seen = seen || shows(kind);
    }
  }
  if (!seen)
    return OM_TEXT_EMPTY;
  end_run(&w, true);
  if (max_chars > 0 && w.chars > max_chars) {
    w.len = shorten(out, w.len, max_chars);
    w.changes |= OM_TEXT_SHORTENED;
  }
  *out_len = w.len;
  *changes = w.changes;
  return OM_TEXT_OK;
}

const char *om_text_explain(enum om_text_fault fault) {
  switch (fault) {
  case OM_TEXT_OK:
    return "is fine";
  case OM_TEXT_EMPTY:
    return "is empty or only blank: WhatsApp refuses an empty variable; give a text";
  case OM_TEXT_UTF8:
    return "is not valid UTF-8: convert the text to UTF-8 first";
  case OM_TEXT_NEWLINE:
    return "has a line break: WhatsApp refuses line breaks in a variable; write one line";
  case OM_TEXT_TAB:
    return "has a tab: WhatsApp refuses tabs in a variable; use a blank";
  case OM_TEXT_BLANKS:
    return "has more than four blanks in a row: WhatsApp refuses them; use one";
  case OM_TEXT_CONTROL:
    return "has a control or invisible character: remove it";
  case OM_TEXT_LONG:
    return "is too long: shorten it";
  }
  return "is not a text that WhatsApp accepts";
}

const char *om_text_describe(unsigned change) {
  if (change & OM_TEXT_JOINED_LINES)
    return "line breaks or tabs became one blank";
  if (change & OM_TEXT_JOINED_BLANKS)
    return "a run of blanks became one";
  if (change & OM_TEXT_TRIMMED)
    return "blanks at the ends were removed";
  if (change & OM_TEXT_DROPPED_MARKS)
    return "control or invisible characters were removed";
  if (change & OM_TEXT_SHORTENED)
    return "the text was too long and was cut";
  return "nothing was changed";
}
