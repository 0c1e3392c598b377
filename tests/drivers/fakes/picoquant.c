/* A stand-in for PicoQuant's libraries, with their names and signatures.
 *
 * Compiled with FAMILY 1 MultiHarp, 2 HydraHarp, 3 TimeHarp 260 NANO, 4 TimeHarp 260 PICO. Events
 * come every EVENT_TICKS on the inputs in turn. A test turns the knobs of `fake`.
 */
#include <string.h>

#if FAMILY == 1
#define NAME(x) MH_##x
#define MODEL "MultiHarp 150 4N"
#define RESOLUTION_PS 80.0
#elif FAMILY == 2
#define NAME(x) HH_##x
#define MODEL "HydraHarp 400"
#define RESOLUTION_PS 1.0
#elif FAMILY == 3
#define NAME(x) TH260_##x
#define MODEL "TimeHarp 260 N"
#define RESOLUTION_PS 250.0
#else
#define NAME(x) TH260_##x
#define MODEL "TimeHarp 260 P"
#define RESOLUTION_PS 25.0
#endif

#define DEVICES 3
#define INPUTS 4
#define EVENT_PS 10000000LL
#define WRAP (1u << 25)
#define OPEN_FAILED -1
#define OPEN_ELSEWHERE -2
#define NOT_OPEN -10
#define INVALID -20
#define USB_GONE -72

static const char *const serials[DEVICES] = {"1000001", "1000002", "1000003"};

struct {
  int unplugged;      /* every call fails */
  int held_elsewhere; /* opening fails */
  int flags;          /* reported as they are */
  int burst;          /* most words of one reading, 0 for as many as fit */
  int hold;           /* the FIFO gives nothing and nothing ends */
  int is_open[DEVICES];
  int measuring;
  int stops;
  int initialised;
  int reference;
  int calibrated;
  int level_mv[INPUTS + 1]; /* the last is that of SYNC */
  int how[INPUTS + 1];
  int kind; /* 1 edges, 2 fractions */
} fake;

static unsigned long long next_tick, end_tick;
static unsigned long long last_wrap;
static unsigned int event;

static int ready(int device) {
  if (fake.unplugged) return USB_GONE;
  if (device < 0 || device >= DEVICES || !fake.is_open[device]) return NOT_OPEN;
  return 0;
}

#define NEED(device)                \
  do {                              \
    const int code = ready(device); \
    if (code) return code;          \
  } while (0)

int NAME(GetLibraryVersion)(char *version) {
  strcpy(version, "3.1");
  return 0;
}

int NAME(GetErrorString)(char *text, int code) {
  const char *told = code == OPEN_FAILED      ? "DEVICE_OPEN_FAIL"
                     : code == OPEN_ELSEWHERE ? "DEVICE_BUSY"
                     : code == NOT_OPEN       ? "DEVICE_NOT_OPEN"
                     : code == USB_GONE       ? "USB_IO_FAIL"
                                              : "INVALID_ARGUMENT";
  strcpy(text, told);
  return 0;
}

int NAME(OpenDevice)(int device, char *serial) {
  if (fake.unplugged || device < 0 || device >= DEVICES) return OPEN_FAILED;
  if (fake.held_elsewhere) return OPEN_ELSEWHERE;
  fake.is_open[device] = 1;
  strcpy(serial, serials[device]);
  return 0;
}

int NAME(CloseDevice)(int device) {
  NEED(device);
  fake.is_open[device] = 0;
  return 0;
}

static int initialise(int device, int mode, int reference) {
  NEED(device);
  if (mode != 2) return INVALID;
  fake.initialised++;
  fake.calibrated = 0;
  fake.reference = reference;
  memset(fake.level_mv, 0, sizeof fake.level_mv);
  return 0;
}

#if FAMILY >= 3
int NAME(Initialize)(int device, int mode) { return initialise(device, mode, 0); }
#else
int NAME(Initialize)(int device, int mode, int reference) {
  return initialise(device, mode, reference);
}
#endif

#if FAMILY == 2
int NAME(Calibrate)(int device) {
  NEED(device);
  fake.calibrated = 1;
  return 0;
}
#endif

int NAME(GetHardwareInfo)(int device, char *model, char *part, char *version) {
  NEED(device);
  strcpy(model, MODEL);
  strcpy(part, "930000");
  strcpy(version, "2.0");
  return 0;
}

int NAME(GetBaseResolution)(int device, double *resolution_ps, int *steps) {
  NEED(device);
  *resolution_ps = RESOLUTION_PS;
  *steps = 1;
  return 0;
}

int NAME(GetNumOfInputChannels)(int device, int *count) {
  NEED(device);
  *count = INPUTS;
  return 0;
}

int NAME(SetSyncDiv)(int device, int divider) {
  NEED(device);
  return divider == 1 ? 0 : INVALID;
}

static int set(int device, int kind, int channel, int level_mv, int how) {
  NEED(device);
  if (channel < 0 || channel > INPUTS) return INVALID;
  fake.kind = kind;
  fake.level_mv[channel] = level_mv;
  fake.how[channel] = how;
  return 0;
}

#if FAMILY != 2
int NAME(SetSyncEdgeTrg)(int device, int level_mv, int edge) {
  if (FAMILY == 4 || level_mv < -1200 || level_mv > 1200) return INVALID;
  return set(device, 1, INPUTS, level_mv, edge);
}
int NAME(SetInputEdgeTrg)(int device, int channel, int level_mv, int edge) {
  if (FAMILY == 4 || level_mv < -1200 || level_mv > 1200) return INVALID;
  return set(device, 1, channel, level_mv, edge);
}
#endif

#if FAMILY != 1
static int bad_fraction(int level_mv, int zero_cross_mv) {
  if (FAMILY == 2) return level_mv < 0 || level_mv > 1000 || zero_cross_mv < 0 || zero_cross_mv > 40;
  return FAMILY == 3 || level_mv < -1200 || level_mv > 0 || zero_cross_mv < -40 || zero_cross_mv > 0;
}
int NAME(SetSyncCFD)(int device, int level_mv, int zero_cross_mv) {
  if (bad_fraction(level_mv, zero_cross_mv)) return INVALID;
  return set(device, 2, INPUTS, level_mv, zero_cross_mv);
}
int NAME(SetInputCFD)(int device, int channel, int level_mv, int zero_cross_mv) {
  if (bad_fraction(level_mv, zero_cross_mv)) return INVALID;
  return set(device, 2, channel, level_mv, zero_cross_mv);
}
#endif

int NAME(StartMeas)(int device, int milliseconds) {
  NEED(device);
  if (milliseconds < 1) return INVALID;
  next_tick = last_wrap = event = 0;
  end_tick = (unsigned long long)(milliseconds * 1e9 / RESOLUTION_PS);
  fake.measuring = 1;
  return 0;
}

int NAME(StopMeas)(int device) {
  NEED(device);
  fake.measuring = 0;
  fake.stops++;
  return 0;
}

int NAME(CTCStatus)(int device, int *ended) {
  NEED(device);
  *ended = !fake.hold && last_wrap + WRAP > end_tick && next_tick >= end_tick;
  return 0;
}

int NAME(GetFlags)(int device, int *flags) {
  NEED(device);
  *flags = fake.flags;
  return 0;
}

static int rate(int device, int *value) {
  NEED(device);
  *value = (int)(1000000000000LL / EVENT_PS / INPUTS);
  return 0;
}

int NAME(GetSyncRate)(int device, int *value) { return rate(device, value); }
int NAME(GetCountRate)(int device, int channel, int *value) {
  return channel < 0 || channel >= INPUTS ? INVALID : rate(device, value);
}

static int words(int device, unsigned int *buffer, int most, int *count) {
  NEED(device);
  *count = 0;
  if (fake.hold || !fake.measuring) return 0;
  if (fake.burst && fake.burst < most) most = fake.burst;
  while (*count < most) {
    const unsigned long long until = next_tick < end_tick ? next_tick : end_tick;
    if (until - last_wrap >= WRAP) { /* one record for all periods that passed */
      const unsigned int periods = (unsigned int)((until - last_wrap) / WRAP);
      buffer[(*count)++] = 0x80000000u | 63u << 25 | periods;
      last_wrap += (unsigned long long)periods * WRAP;
      continue;
    }
    if (next_tick >= end_tick) break;
    buffer[(*count)++] = (event % INPUTS) << 25 | (unsigned int)(next_tick - last_wrap);
    event++;
    next_tick = (unsigned long long)(event * (EVENT_PS / RESOLUTION_PS));
  }
  return 0;
}

#if FAMILY == 1
int NAME(ReadFiFo)(int device, unsigned int *buffer, int *count) {
  return words(device, buffer, 1 << 20, count);
}
#else
int NAME(ReadFiFo)(int device, unsigned int *buffer, int most, int *count) {
  return most < 128 || most > 1 << 17 ? INVALID : words(device, buffer, most, count);
}
#endif
