/* fuzz.c: libFuzzer over phone.c and text.c; aborts where a promise of their headers breaks. Run it
 * by hand: clang -fsanitize=fuzzer,address,undefined -Isrc spec/c/fuzz.c src/phone.c
 * src/phone_digits.c src/text.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "phone.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
  if (!holds)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char phone[OM_PHONE_MAX_DIGITS + 1];
  size_t max = size > 0 ? data[0] % 32 : 0, len, again;
  const char *text = (const char *)data, *country = max < 8 ? NULL : max < 20 ? "44" : "AR";
  if (om_phone_normalize(text, size, country, phone) == OM_PHONE_OK) {
    char same[OM_PHONE_MAX_DIGITS + 1];
    must(strspn(phone, "0123456789") == strlen(phone) && strlen(phone) >= OM_PHONE_MIN_DIGITS &&
         om_phone_normalize(phone, strlen(phone), NULL, same) == OM_PHONE_OK &&
         strcmp(phone, same) == 0);
    must(om_phone_key(phone, strlen(phone), same) && strlen(same) <= strlen(phone));
  }
  char *out = malloc(size + OM_TEXT_ELLIPSIS_BYTES), *next = malloc(size + 6);
  unsigned changes;
  must(out && next);
  if (om_text_clean(text, size, max, out, &len, &changes) == OM_TEXT_OK)
    must(om_text_check(out, len, max) == OM_TEXT_OK &&
         om_text_clean(out, len, max, next, &again, &changes) == OM_TEXT_OK && changes == 0 &&
         again == len && memcmp(out, next, len) == 0);
  free(out);
  free(next);
  return 0;
}
