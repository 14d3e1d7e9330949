package fraudwindows;

import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkGeneratorSupplier;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;

import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;

/**
 * The watermark of one reader: arrival time - delay of the shard that is furthest behind.
 *
 * <pre>{@code
 * shard 0   ──────────────────────────────►  newest arrival 12:00      a reader that catches up after an outage
 * shard 1   ──────────►  newest arrival 11:20                          watermark: 11:20 - delay
 * shard 2   (no record for 30 s)                                       does not count
 * }</pre>
 *
 * <p>With one watermark over all shards, which is what SQL gives this source, the shard that is furthest ahead decides. A
 * reader that catches up may get the whole backlog of one shard before the first record of another, whose payments then all
 * come behind their windows.
 *
 * <p>Nothing is known of a shard before its first record, so nothing is said for ten seconds after the start, and after a time
 * without any record. A shard without a record for half a minute does not count any more. Both are counted in calls of
 * {@link WatermarkGenerator#onPeriodicEmit}, ten a second: a task that is blocked makes none, so no shard falls silent because
 * the job stood still.
 */
public final class ShardWatermarks implements WatermarkStrategy<RowData> {

    private static final long serialVersionUID = 1L;

    private static final int QUIET_CALLS = 100;
    private static final int SILENT_CALLS = 300;

    private long delayMillis;

    /**
     * Sets how far behind the arrival the watermark is. (Python makes this object by its name, so without arguments.)
     *
     * @return this
     */
    public ShardWatermarks behind(long millis) {
        delayMillis = millis;
        return this;
    }

    @Override
    public Generator createWatermarkGenerator(WatermarkGeneratorSupplier.Context context) {
        return new Generator();
    }

    /** What has been read. Rows have the arrival time, TIMESTAMP(3), in column 1 and the shard's id in column 2. */
    public final class Generator implements WatermarkGenerator<RowData> {

        private final Map<StringData, Shard> shards = new HashMap<>();
        private long newest = Long.MIN_VALUE; // arrival, of all shards ever
        private int calls; // since the start, or since the first record of shards that were silent
        private long said = Long.MIN_VALUE;

        @Override
        public void onEvent(RowData row, long timestamp, WatermarkOutput output) {
            if (shards.isEmpty()) {
                calls = 0;
            }
            long arrival = row.getTimestamp(1, 3).getMillisecond();
            newest = Math.max(newest, arrival);
            StringData id = row.getString(2);
            Shard shard = shards.get(id);
            if (shard == null) {
                shard = new Shard();
                shards.put(StringData.fromString(id.toString()), shard); // a copy: the row is used again
            }
            shard.newest = Math.max(shard.newest, arrival);
            shard.silentCalls = 0;
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput output) {
            long watermark = next();
            if (watermark > said) {
                said = watermark;
                output.emitWatermark(new Watermark(watermark));
            }
            if (isIdle()) {
                output.markIdle();
            } else {
                output.markActive();
            }
        }

        /** Whether there has been no record for so long that other readers need not wait. */
        public boolean isIdle() {
            return shards.isEmpty() && calls >= SILENT_CALLS;
        }

        /** What the next periodic call has to say; Long.MIN_VALUE: nothing. */
        public long next() {
            calls = Math.min(calls + 1, SILENT_CALLS);
            long behind = Long.MAX_VALUE;
            for (Iterator<Shard> all = shards.values().iterator(); all.hasNext(); ) {
                Shard shard = all.next();
                if (++shard.silentCalls > SILENT_CALLS) {
                    all.remove();
                } else {
                    behind = Math.min(behind, shard.newest);
                }
            }
            if (newest == Long.MIN_VALUE || calls <= QUIET_CALLS) {
                return Long.MIN_VALUE;
            }
            return Math.min(behind, newest) - delayMillis;
        }
    }

    private static final class Shard {
        private long newest = Long.MIN_VALUE;
        private int silentCalls;
    }
}
