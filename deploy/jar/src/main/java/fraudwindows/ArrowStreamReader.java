package fraudwindows;

import org.apache.flink.api.python.shaded.org.apache.arrow.flatbuf.Message;
import org.apache.flink.api.python.shaded.org.apache.arrow.flatbuf.MessageHeader;
import org.apache.flink.api.python.shaded.org.apache.arrow.flatbuf.RecordBatch;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.types.pojo.Field;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.types.pojo.Schema;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * Reads Arrow IPC streams of one known schema, in place: values are taken from the stream's own bytes when somebody asks.
 *
 * <p>Why not Arrow's own reader (flink-python has a copy of it, and this class uses its message headers): it copies each
 * stream into direct memory that somebody has to free, also when a job fails half way, that counts against a limit shared
 * with Flink's network, and that Java 17 opens only by flags. Nothing of this is needed to look into a byte array.
 *
 * <p>The row handed out is one object, moved from row to row, as Flink's own columnar readers do: whoever keeps a row
 * copies it. Strings and bytes in it may share the stream's array.
 *
 * <p>Not thread safe.
 */
final class ArrowStreamReader {

    private static final int CONTINUATION = -1; // 0xFFFFFFFF opens every message since Arrow 0.15
    private static final int PREFIX = 8; // continuation and length of the header

    private final List<RowType.RowField> wanted;
    private final ArrowColumn[] columns;
    private final ArrowRow row;
    private final RecordBatch batch = new RecordBatch();
    private byte[] checkedSchema = new byte[0];

    /**
     * @param type the columns of every stream to come
     * @throws IllegalArgumentException if a column has a type that is not supported
     */
    ArrowStreamReader(RowType type) {
        wanted = type.getFields();
        columns = wanted.stream().map(field -> ArrowColumn.of(field.getName(), field.getType())).toArray(ArrowColumn[]::new);
        row = new ArrowRow(columns);
    }

    /**
     * Hands over every row of a stream.
     *
     * @throws IllegalArgumentException if the stream is cut off, or its schema is not the wanted one
     */
    void read(byte[] stream, Consumer<RowData> rows) {
        ByteBuffer bytes = ByteBuffer.wrap(stream).order(ByteOrder.LITTLE_ENDIAN);
        boolean schemaSeen = false;
        int position = 0;
        while (position < stream.length) {
            int header = position + PREFIX;
            int headerLength = headerLength(bytes, position);
            if (headerLength == 0) {
                return; // end of stream
            }
            bytes.position(header);
            Message message = Message.getRootAsMessage(bytes);
            int body = header + headerLength;
            long end = body + message.bodyLength();
            requireThat(end <= stream.length, position, "a message that ends at byte " + end, "at most " + stream.length);
            if (message.headerType() == MessageHeader.Schema) {
                checkSchema(Arrays.copyOfRange(stream, header, body), message);
                schemaSeen = true;
            } else {
                requireThat(schemaSeen, position, "a batch first", "the schema first");
                requireThat(message.headerType() == MessageHeader.RecordBatch, position,
                        "a message of type " + MessageHeader.name(message.headerType()), "a record batch");
                message.header(batch);
                requireThat(batch.compression() == null, position, "a compressed batch", "an uncompressed one");
                emit(stream, body, rows);
            }
            position = (int) end;
        }
        requireThat(schemaSeen, 0, "no bytes", "an Arrow IPC stream");
    }

    private static int headerLength(ByteBuffer bytes, int position) {
        requireThat(position + PREFIX <= bytes.limit(), position, "a cut off message", "8 bytes at least");
        requireThat(bytes.getInt(position) == CONTINUATION, position, "no message", "an Arrow IPC stream");
        int length = bytes.getInt(position + 4);
        requireThat(length >= 0 && position + PREFIX + length <= bytes.limit(), position,
                "a header of " + length + " bytes", "one inside the " + bytes.limit() + " bytes of the stream");
        return length;
    }

    private void emit(byte[] stream, int body, Consumer<RowData> rows) {
        int buffer = 0;
        for (int column = 0; column < columns.length; column++) {
            buffer = columns[column].load(stream, body, batch, column, buffer);
        }
        int count = (int) batch.length();
        for (int index = 0; index < count; index++) {
            row.moveTo(index);
            rows.accept(row);
        }
    }

    /** Compares by bytes first: one writer sends the same schema with every batch. */
    private void checkSchema(byte[] header, Message message) {
        if (Arrays.equals(header, checkedSchema)) {
            return;
        }
        var arrowSchema = new org.apache.flink.api.python.shaded.org.apache.arrow.flatbuf.Schema();
        message.header(arrowSchema);
        List<Field> got = Schema.convertSchema(arrowSchema).getFields();
        if (got.size() != columns.length) {
            throw new IllegalArgumentException(String.format("ARROW_ROWS: got a batch of %d columns (%s), wanted %d (%s)",
                    got.size(), got.stream().map(Field::getName).collect(Collectors.joining(", ")),
                    columns.length, wanted.stream().map(RowType.RowField::getName).collect(Collectors.joining(", "))));
        }
        for (int column = 0; column < columns.length; column++) {
            Field field = got.get(column);
            if (!field.getName().equals(wanted.get(column).getName()) || !columns[column].reads(field)) {
                throw new IllegalArgumentException(String.format("ARROW_ROWS: column %d of the batch: got %s %s, wanted %s %s",
                        column + 1, field.getName(), field.getType(), wanted.get(column).getName(), wanted.get(column).getType()));
            }
        }
        checkedSchema = header;
    }

    private static void requireThat(boolean holds, int position, String got, String want) {
        if (!holds) {
            throw new IllegalArgumentException("ARROW_ROWS: byte " + position + " of the batch: got " + got + ", wanted " + want);
        }
    }
}
