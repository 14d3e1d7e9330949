package fraudwindows;

import org.apache.flink.api.python.shaded.org.apache.arrow.flatbuf.Buffer;
import org.apache.flink.api.python.shaded.org.apache.arrow.flatbuf.FieldNode;
import org.apache.flink.api.python.shaded.org.apache.arrow.flatbuf.RecordBatch;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.types.FloatingPointPrecision;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.types.TimeUnit;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.types.pojo.Field;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.data.binary.BinaryStringData;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Map;
import java.util.function.BiPredicate;

/**
 * One column of a record batch, as a view of the batch's bytes.
 *
 * <p>Layout (Arrow columnar format): a validity bitmap, 32-bit offsets for strings and bytes only, the values. The getters
 * do not look at the Flink type again: {@link #of} and {@link #reads} did.
 */
final class ArrowColumn {

    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final int DECIMAL_WIDTH = 16;
    private static final int LONG_DIGITS = 18; // a decimal of so many digits always fits a long

    /** What may stand in the stream for a Flink type. Lengths of strings and bytes are not checked. */
    private static final Map<LogicalTypeRoot, BiPredicate<ArrowType, LogicalType>> READABLE =
            Map.of(
                    LogicalTypeRoot.VARCHAR, (arrow, type) -> arrow instanceof ArrowType.Utf8,
                    LogicalTypeRoot.VARBINARY, (arrow, type) -> arrow instanceof ArrowType.Binary,
                    LogicalTypeRoot.BOOLEAN, (arrow, type) -> arrow instanceof ArrowType.Bool,
                    LogicalTypeRoot.INTEGER, (arrow, type) -> arrow.equals(new ArrowType.Int(32, true)),
                    LogicalTypeRoot.BIGINT, (arrow, type) -> arrow.equals(new ArrowType.Int(64, true)),
                    LogicalTypeRoot.DOUBLE,
                            (arrow, type) -> arrow.equals(new ArrowType.FloatingPoint(FloatingPointPrecision.DOUBLE)),
                    LogicalTypeRoot.DECIMAL,
                            (arrow, type) -> arrow.equals(new ArrowType.Decimal(
                                    ((DecimalType) type).getPrecision(), ((DecimalType) type).getScale(), DECIMAL_WIDTH * 8)),
                    LogicalTypeRoot.TIMESTAMP_WITHOUT_TIME_ZONE, (arrow, type) -> isUtcMillis(arrow),
                    LogicalTypeRoot.TIMESTAMP_WITH_LOCAL_TIME_ZONE, (arrow, type) -> isUtcMillis(arrow));

    private final String name;
    private final LogicalType type;
    private final boolean hasOffsets;
    private final FieldNode node = new FieldNode();
    private final Buffer location = new Buffer();

    private byte[] bytes;
    private boolean hasNulls;
    private int validity;
    private int offsets;
    private int values;

    private ArrowColumn(String name, LogicalType type) {
        this.name = name;
        this.type = type;
        this.hasOffsets = type.is(LogicalTypeRoot.VARCHAR) || type.is(LogicalTypeRoot.VARBINARY);
    }

    /**
     * @throws IllegalArgumentException if no reader exists for the type
     */
    static ArrowColumn of(String name, LogicalType type) {
        boolean coarseTime =
                !(type.is(LogicalTypeRoot.TIMESTAMP_WITHOUT_TIME_ZONE) || type.is(LogicalTypeRoot.TIMESTAMP_WITH_LOCAL_TIME_ZONE))
                        || LogicalTypeChecks.getPrecision(type) == 3;
        if (!READABLE.containsKey(type.getTypeRoot()) || !coarseTime) {
            throw new IllegalArgumentException(String.format("column '%s': got type %s, wanted one of STRING, BYTES, BOOLEAN, "
                    + "INT, BIGINT, DOUBLE, DECIMAL(p, s), TIMESTAMP(3), TIMESTAMP_LTZ(3)", name, type.asSummaryString()));
        }
        return new ArrowColumn(name, type);
    }

    /** Whether a field of an Arrow schema can be read as this column. */
    boolean reads(Field field) {
        return field.getDictionary() == null && READABLE.get(type.getTypeRoot()).test(field.getType(), type);
    }

    /** With or without zone: both count milliseconds from the epoch, and a TIMESTAMP here is always UTC. */
    private static boolean isUtcMillis(ArrowType arrow) {
        if (!(arrow instanceof ArrowType.Timestamp)) {
            return false;
        }
        ArrowType.Timestamp timestamp = (ArrowType.Timestamp) arrow;
        return timestamp.getUnit() == TimeUnit.MILLISECOND
                && (timestamp.getTimezone() == null || timestamp.getTimezone().equals("UTC"));
    }

    /**
     * Points the column at a record batch.
     *
     * @param body where the batch's buffers begin in {@code stream}
     * @param column position of the column
     * @param buffer number of its first buffer
     * @return number of the next column's first buffer
     * @throws IllegalArgumentException if a NOT NULL column has a null
     */
    int load(byte[] stream, int body, RecordBatch batch, int column, int buffer) {
        bytes = stream;
        batch.nodes(node, column);
        hasNulls = node.nullCount() > 0;
        if (hasNulls && !type.isNullable()) {
            throw new IllegalArgumentException(
                    "ARROW_ROWS: column '" + name + "': got " + node.nullCount() + " nulls, wanted none (" + type + ")");
        }
        int next = buffer;
        validity = body + (int) batch.buffers(location, next++).offset();
        if (hasOffsets) {
            offsets = body + (int) batch.buffers(location, next++).offset();
        }
        values = body + (int) batch.buffers(location, next++).offset();
        return next;
    }

    boolean isNull(int row) {
        return hasNulls && !bit(validity, row);
    }

    boolean getBoolean(int row) {
        return bit(values, row);
    }

    int getInt(int row) {
        return (int) INT.get(bytes, values + row * Integer.BYTES);
    }

    long getLong(int row) {
        return (long) LONG.get(bytes, values + row * Long.BYTES);
    }

    double getDouble(int row) {
        return Double.longBitsToDouble(getLong(row));
    }

    TimestampData getTimestamp(int row) {
        return TimestampData.fromEpochMillis(getLong(row));
    }

    StringData getString(int row) {
        int start = offset(row);
        return BinaryStringData.fromBytes(bytes, values + start, offset(row + 1) - start);
    }

    byte[] getBinary(int row) {
        return Arrays.copyOfRange(bytes, values + offset(row), values + offset(row + 1));
    }

    DecimalData getDecimal(int row, int precision, int scale) {
        int start = values + row * DECIMAL_WIDTH;
        long low = (long) LONG.get(bytes, start);
        long high = (long) LONG.get(bytes, start + Long.BYTES);
        if (precision <= LONG_DIGITS) {
            return DecimalData.fromUnscaledLong(low, precision, scale);
        }
        boolean fitsLong = high == low >> 63;
        return DecimalData.fromBigDecimal(
                fitsLong ? BigDecimal.valueOf(low, scale) : new BigDecimal(unscaled(high, low), scale), precision, scale);
    }

    private static BigInteger unscaled(long high, long low) {
        byte[] bigEndian = new byte[DECIMAL_WIDTH];
        for (int index = 0; index < Long.BYTES; index++) {
            bigEndian[index] = (byte) (high >> (56 - 8 * index));
            bigEndian[Long.BYTES + index] = (byte) (low >> (56 - 8 * index));
        }
        return new BigInteger(bigEndian);
    }

    private int offset(int row) {
        return (int) INT.get(bytes, offsets + row * Integer.BYTES);
    }

    private boolean bit(int bitmap, int row) {
        return (bytes[bitmap + (row >> 3)] >> (row & 7) & 1) == 1;
    }
}
