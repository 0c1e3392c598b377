/* From a tagger's tags to events, all steps at once: declarations read by C and by cffi. */

/* Dithers the clicks (dither.h) unless step_ps is 1, orders them, and resolves those that no
 * acceptable late click can precede any more (clicks.h), some thousand at a time, so that all stays
 * in the cache. Wipes the codes of clicks that are no longer held, and what it has written beyond
 * the events. The buffers of held clicks have room for order->held + count, the outputs for one
 * more. Returns the events. */
size_t qkd_events_feed(int tier, qkd_dither_state *dither, uint32_t step_ps,
                       qkd_click_order *order, qkd_click_resolver *resolver, const int64_t *times,
                       const uint8_t *channels, size_t count, const int64_t delays_ps[256],
                       const uint8_t codes[256], int64_t *held_times, uint8_t *held_codes,
                       uint64_t per_channel[256], int64_t *event_times, uint8_t *event_codes);
