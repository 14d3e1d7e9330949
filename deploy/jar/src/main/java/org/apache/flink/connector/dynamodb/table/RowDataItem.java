package org.apache.flink.connector.dynamodb.table;

import org.apache.flink.table.api.TableException;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeFamily;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;

import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;

import java.time.LocalDate;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Rows of one table as DynamoDB items.
 *
 * <p>Strings, times and dates become S, numbers N (a DECIMAL digit for digit), booleans BOOL, bytes B, arrays L, maps M: the
 * same as in flink-connector-dynamodb. Left out are NULLs, and numbers that DynamoDB's N cannot hold (NaN, infinities,
 * magnitudes outside 1E-130 .. 1E126), for which it would refuse the whole batch. Inside lists and maps they are NULL
 * attributes, so that positions stay.
 */
final class RowDataItem {

    private static final AttributeValue NULL = AttributeValue.fromNul(true);
    private static final double SMALLEST = 1e-130;
    private static final double LARGEST = 1e126;

    private final String[] names;
    private final RowData.FieldGetter[] fields;
    private final List<Function<Object, AttributeValue>> converters;
    private final int capacity;

    /**
     * @throws TableException if DynamoDB has no type for a column
     */
    RowDataItem(RowType type) {
        int count = type.getFieldCount();
        names = type.getFieldNames().toArray(new String[0]);
        fields = new RowData.FieldGetter[count];
        converters = new ArrayList<>(count);
        for (int column = 0; column < count; column++) {
            fields[column] = RowData.createFieldGetter(type.getTypeAt(column), column);
            converters.add(converter(type.getTypeAt(column), names[column]));
        }
        capacity = count * 4 / 3 + 1;
    }

    Map<String, AttributeValue> of(RowData row) {
        Map<String, AttributeValue> item = new HashMap<>(capacity);
        for (int column = 0; column < names.length; column++) {
            Object value = fields[column].getFieldOrNull(row);
            AttributeValue attribute = value == null ? NULL : converters.get(column).apply(value);
            if (attribute != NULL) {
                item.put(names[column], attribute);
            }
        }
        return item;
    }

    private static Function<Object, AttributeValue> converter(LogicalType type, String column) {
        switch (type.getTypeRoot()) {
            case CHAR:
            case VARCHAR:
                return value -> AttributeValue.fromS(value.toString());
            case BOOLEAN:
                return value -> AttributeValue.fromBool((Boolean) value);
            case BINARY:
            case VARBINARY:
                return value -> AttributeValue.fromB(SdkBytes.fromByteArray((byte[]) value));
            case TINYINT:
            case SMALLINT:
            case INTEGER:
            case BIGINT:
                return value -> AttributeValue.fromN(value.toString());
            case FLOAT:
            case DOUBLE:
                return value -> approximate((Number) value);
            case DECIMAL:
                return value -> AttributeValue.fromN(((DecimalData) value).toBigDecimal().toPlainString());
            case DATE:
                return value -> AttributeValue.fromS(LocalDate.ofEpochDay((Integer) value).toString());
            case TIMESTAMP_WITHOUT_TIME_ZONE:
                return value -> AttributeValue.fromS(((TimestampData) value).toLocalDateTime().toString());
            case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
                return value -> AttributeValue.fromS(((TimestampData) value).toInstant().toString());
            case ARRAY:
                return list(((ArrayType) type).getElementType(), column);
            case MAP:
                return map((MapType) type, column);
            default:
                throw new TableException(String.format("DynamoDB column '%s': got type %s, wanted STRING, BOOLEAN, BYTES, a number, "
                        + "DATE, TIMESTAMP, TIMESTAMP_LTZ, or an ARRAY or MAP<STRING, ...> of these", column, type.asSummaryString()));
        }
    }

    private static AttributeValue approximate(Number number) {
        double magnitude = Math.abs(number.doubleValue());
        boolean representable = magnitude == 0 || magnitude >= SMALLEST && magnitude < LARGEST; // false for NaN
        return representable ? AttributeValue.fromN(number.toString()) : NULL;
    }

    private static Function<Object, AttributeValue> list(LogicalType elementType, String column) {
        ArrayData.ElementGetter elements = ArrayData.createElementGetter(elementType);
        Function<Object, AttributeValue> convert = converter(elementType, column);
        return value -> {
            ArrayData array = (ArrayData) value;
            List<AttributeValue> list = new ArrayList<>(array.size());
            for (int index = 0; index < array.size(); index++) {
                Object element = elements.getElementOrNull(array, index);
                list.add(element == null ? NULL : convert.apply(element));
            }
            return AttributeValue.fromL(list);
        };
    }

    private static Function<Object, AttributeValue> map(MapType type, String column) {
        if (!type.getKeyType().is(LogicalTypeFamily.CHARACTER_STRING)) {
            throw new TableException(
                    String.format("DynamoDB column '%s': got keys of type %s, wanted STRING", column, type.getKeyType()));
        }
        ArrayData.ElementGetter elements = ArrayData.createElementGetter(type.getValueType());
        Function<Object, AttributeValue> convert = converter(type.getValueType(), column);
        return value -> {
            MapData map = (MapData) value;
            Map<String, AttributeValue> attributes = new HashMap<>();
            for (int index = 0; index < map.size(); index++) {
                Object element = elements.getElementOrNull(map.valueArray(), index);
                attributes.put(map.keyArray().getString(index).toString(), element == null ? NULL : convert.apply(element));
            }
            return AttributeValue.fromM(attributes);
        };
    }
}
